"""The figures in docs/performance.md: each is the output of a command that exists, and is replaced by a new one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from bench.__main__ import PARTS
from bench.figures import DOCUMENT, CommandFailed, blocks_in, run, version_of, with_figures, write_figures

TEXT = """# Performance
<!-- figures: python -m bench.quick -->
old
<!-- end of figures -->
between
<!-- figures: python -m bench idle -->
<!-- end of figures -->
"""
COMMANDS = ["python -m bench.quick", "python -m bench idle"]
VERSION = "0123456789ab"


@pytest.fixture
def document(tmp_path: Path) -> Path:
    file = tmp_path / "performance.md"
    file.write_text(TEXT)
    return file


def test_output_replaces_figures_of_its_own_command_only() -> None:
    once = with_figures(TEXT, COMMANDS[0], "1 \\1 new\n", VERSION)
    replaced = f"```text\n1 \\1 new\n```\n<!-- end of figures: {VERSION} -->"
    assert once == TEXT.replace("old\n<!-- end of figures -->", replaced)
    assert with_figures(once, COMMANDS[0], "1 \\1 new", VERSION) == once
    assert [block.command for block in blocks_in(once)] == COMMANDS
    assert [block.version for block in blocks_in(once)] == [VERSION, None]


@pytest.mark.parametrize(("only", "chosen"), [("", COMMANDS), ("idle", COMMANDS[1:]), ("nothing", [])])
def test_chosen_commands_are_measured_and_written(document: Path, only: str, chosen: list[str]) -> None:
    lines = list(write_figures(document, only, VERSION, measure=str.upper))
    assert [line.partition(":")[0] for line in lines] == chosen
    assert [command.upper() in document.read_text() for command in COMMANDS] == [each in chosen for each in COMMANDS]


def test_figures_of_this_version_are_measured_again_on_demand(document: Path) -> None:
    list(write_figures(document, "quick", VERSION, measure=str.upper))
    measured: list[str] = []

    def measure(command: str) -> str:
        measured.append(command)
        return command

    for again in (False, True):
        list(write_figures(document, "", VERSION, again=again, measure=measure))
    assert measured == [COMMANDS[1], *COMMANDS]
    list(write_figures(document, "idle", "b" * 12, measure=measure))
    assert measured[3:] == [COMMANDS[1]]


def test_failed_command_keeps_its_figures_and_runs_the_others(document: Path) -> None:
    def measure(command: str) -> str:
        if "quick" in command:
            raise CommandFailed("no wrk")
        return "new"

    lines = list(write_figures(document, "", VERSION, measure=measure))
    assert lines[0] == f"{COMMANDS[0]}: FAILED: no wrk"
    assert "old\n<!-- end of figures -->" in document.read_text()
    assert "new\n```\n" in document.read_text()


def test_exit_code_1_is_a_missed_bound_only_without_an_error(tmp_path: Path) -> None:
    script = tmp_path / "measure.py"
    script.write_text("print('heading')\nraise SystemExit(1)\n")
    assert run(f"python {script}") == "heading\n"
    script.write_text("print('heading')\nraise SystemExit('wrk is needed')\n")
    with pytest.raises(CommandFailed, match="wrk is needed"):
        run(f"python {script}")


def test_version_changes_with_any_source(tmp_path: Path) -> None:
    (tmp_path / "proxy" / "node_modules").mkdir(parents=True)
    source, other = tmp_path / "proxy" / "a.py", tmp_path / "proxy" / "node_modules" / "a.js"
    source.write_text("1")
    other.write_text("1")
    first = version_of(tmp_path)
    other.write_text("2")
    assert version_of(tmp_path) == first
    source.write_text("2")
    assert version_of(tmp_path) != first


@pytest.mark.parametrize("command", [block.command for block in blocks_in(DOCUMENT.read_text())])
def test_figures_in_the_docs_come_from_a_command(command: str) -> None:
    _, _, module, *words = command.split()
    assert importlib.util.find_spec(module) is not None
    parts = [word for word in words if not word.startswith("-") and not word.isdigit()]
    assert set(parts) <= (set(PARTS) if module == "bench" else set())
