"""`scribe-proxy`: the commands by name. Each is imported when it is called, so that no command can break the help.

Exit codes: 0 for success, 1 for a failed command or a reported problem, 2 for wrong usage or a service
that cannot be reached, 130 after Ctrl-C.
"""

from __future__ import annotations

import gc
import sys

from proxy.runtime.garbage import without_collection

with without_collection():  # collections would take a sixth of the time of these imports
    from proxy.runtime.interrupts import hide_traceback

    hide_traceback()  # of a Ctrl-C during the imports below
    import atexit
    import errno
    import os
    from dataclasses import dataclass
    from importlib import import_module
    from typing import Any, Final

    import click

    from proxy.cli.deferred_metadata import defer_metadata
    from proxy.cli.plain_output import substitute_unencodable
    from proxy.wording import did_you_mean


@dataclass(frozen=True, slots=True)
class Lazy:
    """The import path of a command (`module:attribute`) and its line in the help."""

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
    "init": Lazy("proxy.cli.init:init", "Draft a routing.yaml and a contract for a service."),
    "check": Lazy(
        "proxy.cli.check:check",
        "Validate a routing.yaml and the contracts that it names.",
    ),
    "schema": Lazy("proxy.cli.schema:schema", "Print the JSON Schema of routing.yaml."),
    "completion": Lazy(
        "proxy.cli.completion:completion", "Print the script that completes commands, options and route names."
    ),
    "explain": Lazy("proxy.cli.explain:explain", "Show which backend answers a request, and why."),
    "plan": Lazy("proxy.cli.plan:plan", "Show how many callers a changed routing.yaml moves."),
    "schedule": Lazy(
        "proxy.cli.schedule:schedule", "Print when each stage of each rollout is reached at the earliest."
    ),
    "status": Lazy(
        "proxy.cli.status:status",
        "Show how far the migration is, its problems, and the next step of each group.",
    ),
    "history": Lazy("proxy.cli.history:history", "Show changes of shares and of the configuration, newest first."),
    "promote": Lazy(
        "proxy.cli.rollout_actions:promote", "Promote a rollout to its next stage now, whatever its gates report."
    ),
    "pause": Lazy("proxy.cli.rollout_actions:pause", "Pause a rollout at its current stage."),
    "resume": Lazy("proxy.cli.rollout_actions:resume", "Resume a paused rollout."),
    "rollback": Lazy("proxy.cli.rollout_actions:rollback", "Roll a route or group back to legacy now, until `ack`."),
    "ack": Lazy(
        "proxy.cli.rollout_actions:ack",
        "Acknowledge a cap or lift a rollback, so that the share may rise again.",
    ),
    "verify": Lazy(
        "proxy.cli.verify:verify",
        "Play recordings against a service and report each step as equal, declared or differing.",
    ),
    "record": Lazy(
        "proxy.cli.record:record",
        "Play SCENARIOS against a service and write its answers as recordings.",
    ),
    "fuzz": Lazy("proxy.cli.fuzz:fuzz", "Search for differences between two backends with random requests."),
    "capture": Lazy("proxy.cli.capture:capture", "Write anonymised recordings of live traffic."),
    "report": Lazy("proxy.cli.report:report", "Report where native and legacy differ in live traffic."),
    "contracts": Lazy(
        "proxy.cli.contracts:contracts",
        "Infer the contract from recordings, check it against them, and show its coverage.",
    ),
}


SECTIONS: Final = {
    "Run": ("serve", "demo", "init"),
    "Change routing.yaml": ("check", "schema", "explain", "plan", "schedule"),
    "Watch and act": ("status", "history", "report", "promote", "pause", "resume", "rollback", "ack"),
    "Recordings and contracts": ("verify", "record", "capture", "fuzz", "contracts"),
}
"""The sections of the help. Commands without a section are listed last."""
EXAMPLES: Final = (
    "scribe-proxy demo                                  everything on this machine",
    "scribe-proxy check                                 before routing.yaml is used",
    "scribe-proxy plan routing.yaml new.yaml            callers that a change moves",
    "scribe-proxy explain GET /api/prompts --key K      one caller's backend, and why",
    'scribe-proxy rollback GROUP --why "5xx since 9"    back to legacy, now',
)

RENAMED: Final = {"hold": "pause"}
"""Former names of commands, with the present ones."""

INTERRUPTED: Final = 130
"""Exit code of a program that Ctrl-C has ended, as shells report it."""
_UNWRITABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # no plugin is used, and searching for them is slow
atexit.register(gc.freeze)  # the interpreter collects garbage once more at its end, a tenth of a short command


class LazyGroup(click.Group):
    """Command group that lists its commands' names and help without importing them."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run a command in any locale. Report a full or read-only disk in one line, and exit with 1."""
        substitute_unencodable()
        try:
            return super().main(*arguments, **options)
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise
            click.echo(f"Error: cannot write {error.filename or 'the output'}: {error.strerror}", err=True)
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. After Ctrl-C exit with 130, which ends a shell's loop, instead of click's 1."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\nAborted!", err=True)
            sys.exit(INTERRUPTED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        lazy = COMMANDS.get(cmd_name)
        return _imported(cmd_name, lazy) if lazy else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the present command for a former or a misspelt name."""
        if args and args[0] in RENAMED:
            ctx.fail(f"`{args[0]}` is now `{RENAMED[args[0]]}`")
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"there is no command `{args[0]}`{_meant(args[0])}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        listed = {name for names in SECTIONS.values() for name in names}
        rest = {"Other": tuple(name for name in COMMANDS if name not in listed)}
        width = max(map(len, COMMANDS))
        for title, names in (SECTIONS | rest).items():
            rows = [(name.ljust(width), COMMANDS[name].help) for name in names if name in COMMANDS]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for example in EXAMPLES:
                formatter.write(f"  {example}\n")


def _meant(name: str) -> str:
    return did_you_mean(name, [*COMMANDS, *RENAMED], lambda close: f"`{RENAMED.get(close, close)}`")


def _imported(name: str, lazy: Lazy) -> click.Command:
    """Import a command. Raises ClickException if it, or a package that it needs, is missing."""
    module, _, attribute = lazy.where.partition(":")
    defer_metadata()
    try:
        with without_collection():
            command = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        absent = error.name or ""
        reason = lazy.missing if module == absent or module.startswith(f"{absent}.") else f"{absent} is not installed"
        raise click.ClickException(f"{name} is not available: {reason}") from error
    except (ImportError, AttributeError) as error:
        raise click.ClickException(f"{name} is not available: {error}") from error
    assert isinstance(command, click.Command)
    command.help = command.help or lazy.help  # `python -OO` has no docstrings
    return command


def version_of(distribution: str) -> str:
    """Return the version of an installed distribution; `unknown` if it is not installed, as in a checkout."""
    from importlib.metadata import PackageNotFoundError, version  # takes longer to import than the rest of the help

    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"scribe-proxy {version_of('scribe-proxy')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Move a service to another backend, one endpoint and one percentage of callers at a time.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
def main() -> None: ...
