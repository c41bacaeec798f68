"""`scribe-proxy` itself: quick help, and commands that cannot break each other."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from click import Command, Context, Group, Option
from click.testing import CliRunner

from proxy.cli.main import COMMANDS, Lazy, main, version_of
from tests.support.profile import spread

ROOT = Path(__file__).parents[3]


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.output


@pytest.mark.parametrize(("arguments", "line"), [((), "Move a service to another backend"), (("check",), "Validate a")])
def test_help_without_docstrings_describes_a_command(arguments: tuple[str, ...], line: str) -> None:
    script = f"from proxy.cli.main import main; main([*{arguments!r}, '--help'])"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    program = [sys.executable, "-OO", "-c", script]
    done = subprocess.run(program, capture_output=True, text=True, check=True, env=environment)
    assert f"  {line}" in done.stdout


def test_help_names_all_commands_and_imports_none() -> None:
    script = (
        "import sys; from proxy.cli.main import main\n"
        "try: main(['--help'])\n"
        "finally: print([name for name in sys.modules if name.startswith(('proxy.c', 'demo', 'pydantic', 'yaml'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    *_, loaded = done.stdout.splitlines()
    assert loaded == "['proxy.cli', 'proxy.cli.deferred_metadata', 'proxy.cli.plain_output', 'proxy.cli.main']"
    for name, lazy in COMMANDS.items():
        assert f"  {name}" in done.stdout
        assert lazy.help.split()[0] in done.stdout


def test_earlier_command_name_is_reported_with_the_new_one() -> None:
    code, output = run("hold", "notes.list", "--why", "because")
    assert code == 2
    assert "`hold` is now `pause`" in output


def test_version_is_the_package_s() -> None:
    assert run("--version") == (0, f"scribe-proxy {version('scribe-proxy')}\n")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "demo"])
def test_help_in_the_list_is_the_commands(name: str) -> None:
    module, _, attribute = COMMANDS[name].where.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, Command)
    assert command.get_short_help_str(limit=200) == COMMANDS[name].help
    code, output = run(name, "--help")
    assert (code, output.startswith("Usage: ")) == (0, True)


@pytest.mark.parametrize(("typed", "meant"), [("chekc", "check"), ("rolback", "rollback"), ("holt", "pause")])
def test_mistyped_command_gets_a_suggestion(typed: str, meant: str) -> None:
    code, output = run(typed)
    assert (code, f"there is no command `{typed}`; did you mean `{meant}`?" in output) == (2, True)
    assert "did you mean" not in run("frob")[1]


def test_help_groups_commands_and_shows_examples() -> None:
    output = run("--help")[1]
    assert output.index("Run:") < output.index("  serve ") < output.index("Change routing.yaml:")
    assert output.index("Change routing.yaml:") < output.index("  plan ") < output.index("Watch and act:")
    assert "Examples:\n  scribe-proxy demo" in output
    for command in ("check", "plan", "explain", "schedule", "completion"):
        assert "Examples:\n    scribe-proxy " in run(command, "--help")[1]


HEAVY = (
    "httpx",
    "motor",
    "pymongo",
    "uvicorn",
    "starlette.requests",
    "openai",
    "jinja2",
    "proxy.ops.app",
    "proxy.gateway.gateway",
)


@pytest.mark.parametrize(
    "command",  # test_imports.py has more modules of check, explain and status
    spread(["schema", "check", "plan", "explain", "schedule", "status", "history", "completion"], 0, 2),
)
def test_offline_command_imports_no_server(command: str) -> None:
    arguments = {
        "check": ["routing.yaml"],
        "explain": ["GET", "/"],
        "plan": ["routing.yaml"] * 2,
        "completion": ["bash"],
    }
    script = (
        "import sys; from proxy.cli.main import main\n"
        f"try: main({[command, *arguments.get(command, [])]!r})\n"
        f"finally: print('loaded', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    nowhere = {**os.environ, "OPS_URL": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT, env=nowhere
    )
    assert done.stdout.splitlines()[-1] == "loaded []"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "arguments",
    spread([["schema"], ["completion", "bash"], ["--help"], ["explain", "GET", "/"], ["check", "routing.yaml"]], 0, 2),
)
def test_full_disk_is_reported_in_one_line(arguments: list[str]) -> None:
    script = f"from proxy.cli.main import main; main({arguments!r})"
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT
        )
    errors = [line for line in done.stderr.splitlines() if "Error" in line or "Traceback" in line]
    assert (done.returncode, errors) == (1, ["Error: cannot write the output: No space left on device"])


def groups(name: str, command: Command) -> Iterator[tuple[str, Group]]:
    """Yield a group of commands and the groups within it, each with its name."""
    if isinstance(command, Group):
        yield name, command
        for child, subcommand in command.commands.items():
            yield from groups(f"{name} {child}", subcommand)


def test_lists_of_commands_show_whole_sentences() -> None:
    context = Context(main)
    commands = [(name, main.get_command(context, name)) for name in COMMANDS]
    listed = [one for name, command in commands if command for one in groups(name, command)]
    assert [name for name, _ in listed] == ["report", "contracts"]
    for name, _ in listed:
        assert "..." not in run(*name.split(), "--help")[1].partition("Commands:")[2], name


def options(name: str, command: Command) -> Iterator[tuple[str, Option]]:
    """Yield each option of a command and of its subcommands, with its name after the command's."""
    for each in command.params:
        if isinstance(each, Option):
            yield f"{name} {each.opts[-1]}", each
    for child, subcommand in command.commands.items() if isinstance(command, Group) else ():
        yield from options(f"{name} {child}", subcommand)


def test_options_all_have_a_help_sentence() -> None:
    context = Context(main)
    commands = [(name, main.get_command(context, name)) for name in COMMANDS]
    every = [pair for name, command in commands if command for pair in options(name, command)]
    assert len(every) > 50
    helps = {name: (option.help or "").partition("  [")[0] for name, option in every}  # `[…]`: a default
    assert {name: text for name, text in helps.items() if not text.endswith(".")} == {}


def test_missing_and_unknown_commands_are_wrong_usage() -> None:
    assert run("frob")[0] == 2
    assert run()[0] == 2


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("nowhere.at.all:x", "thing is not available: this installation lacks it"),
        ("proxy.nowhere:x", "thing is not available: this installation lacks it"),
        ("proxy.cli.main:nothing", "thing is not available: module 'proxy.cli.main' has no attribute 'nothing'"),
        ("tests.support.missing_dependency:x", "thing is not available: a_package_that_is_not_there is not installed"),
    ],
)
def test_missing_command_module_is_reported_alone(monkeypatch: pytest.MonkeyPatch, where: str, message: str) -> None:
    monkeypatch.setitem(COMMANDS, "thing", Lazy(where, "Do a thing."))
    code, output = run("thing")
    assert (code, output) == (1, f"Error: {message}\n")
    assert run("--help")[0] == 0


def test_version_of_a_checkout_is_unknown() -> None:
    assert version_of("a-package-that-is-not-there") == "unknown"


INTERRUPTED_IMPORT = """
import sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == %r:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
from proxy.cli.main import main
main(['check', '--help'])
"""


@pytest.mark.parametrize(
    ("module", "code", "shown"), [("click", -signal.SIGINT, ""), ("proxy.cli.check", 130, "\nAborted!\n")]
)
def test_interrupted_import_has_no_traceback(module: str, code: int, shown: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT % module], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (code, shown)


def test_other_faults_keep_their_traceback() -> None:
    script = "import proxy.cli.main; proxy.cli.main.nowhere"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, "AttributeError" in done.stderr) == (1, True)
