"""`scribe-proxy`: the commands by name, each imported when it is called, so that none can break another's help.

Exit codes: 0 is well, 1 a fault that was looked for and found (or a command that failed), 2 a wrong use.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import click


@dataclass(frozen=True, slots=True)
class Lazy:
    """Where a command is (`module:attribute`), and its line in the help."""

    where: str
    help: str
    missing: str = "this installation lacks it"


COMMANDS: Final = {
    "serve": Lazy("proxy.cli.serve:serve", "Run the gateway."),
    "demo": Lazy(
        "demo.stack:command",
        "Run everything on this machine: MongoDB, a legacy, the gateway.",
        "the demo is not part of this installation; run it from a checkout",
    ),
    "check": Lazy(
        "proxy.cli.check:check",
        "Say everything that is wrong with a routing.yaml, and with the contracts that it names.",
    ),
    "explain": Lazy("proxy.cli.explain:explain", "Say which side answers a request, and why."),
    "plan": Lazy("proxy.cli.plan:plan", "Say what a changed routing.yaml would move."),
    "schedule": Lazy(
        "proxy.cli.schedule:schedule", "Print when each stage of each rollout is reached, if all goes well."
    ),
    "status": Lazy(
        "proxy.cli.status:status",
        "Show every route of a running gateway: its share and why, its stage, both sides, its guard.",
    ),
    "promote": Lazy(
        "proxy.cli.rollout_actions:promote", "Go on to the next stage of a rollout now, whatever its gates say."
    ),
    "pause": Lazy("proxy.cli.rollout_actions:pause", "Pause a rollout at its current stage."),
    "resume": Lazy("proxy.cli.rollout_actions:resume", "Resume a paused rollout."),
    "rollback": Lazy(
        "proxy.cli.rollout_actions:rollback", "Give a route back to legacy now, until that is acknowledged."
    ),
    "ack": Lazy(
        "proxy.cli.rollout_actions:ack",
        "Acknowledge that a route was capped or rolled back: its share may rise again.",
    ),
    "verify": Lazy(
        "proxy.cli.verify:verify",
        "Play recordings against a service and tell, step by step, what is equal, declared or differing.",
    ),
    "record": Lazy(
        "proxy.cli.record:record",
        "Play SCENARIOS against a service and write what it answers as recordings.",
    ),
    "capture": Lazy(
        "proxy.cli.capture:capture", "Write recordings of traffic that passes through the gateway, redacted."
    ),
    "report": Lazy("proxy.cli.report:report", "Say where native and legacy differ in live traffic."),
    "contracts": Lazy(
        "proxy.cli.contracts:contracts",
        "Infer the contract from recordings, check it against them, and show what of it has samples.",
    ),
}


RENAMED: Final = {"hold": "pause"}
"""Earlier names of commands, each with its present one."""


class LazyGroup(click.Group):
    """A group that knows its commands' names and help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        lazy = COMMANDS.get(cmd_name)
        return _imported(cmd_name, lazy) if lazy else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the present command where an earlier name is typed."""
        if args and args[0] in RENAMED:
            ctx.fail(f"`{args[0]}` is now `{RENAMED[args[0]]}`")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in COMMANDS.items()])


def _imported(name: str, lazy: Lazy) -> click.Command:
    """Raises ClickException where the command, or something it needs, is not there."""
    module, _, attribute = lazy.where.partition(":")
    try:
        command = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        absent = error.name or ""
        why = lazy.missing if module == absent or module.startswith(f"{absent}.") else f"{absent} is not installed"
        raise click.ClickException(f"{name} is not available: {why}") from error
    except (ImportError, AttributeError) as error:
        raise click.ClickException(f"{name} is not available: {error}") from error
    assert isinstance(command, click.Command)
    return command


def _version() -> str:
    try:
        return version("scribe-proxy")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "unknown"


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `scribe-proxy demo`; before a change to routing.yaml, `check` it and `plan` it.",
)
@click.version_option(_version(), prog_name="scribe-proxy", message="%(prog)s %(version)s")
def main() -> None:
    """Move a service's backend an endpoint and a percentage at a time, with nobody noticing."""
