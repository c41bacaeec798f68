"""The figures in docs/performance.md: each is the output of a command that exists, and is replaced by a new one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from bench.__main__ import PARTS
from bench.figures import DOCUMENT, commands_in, with_figures, write_figures

TEXT = """# Performance
<!-- figures: python -m bench.quick -->
old
<!-- end of figures -->
between
<!-- figures: python -m bench idle -->
<!-- end of figures -->
"""
COMMANDS = ["python -m bench.quick", "python -m bench idle"]


def test_output_replaces_the_figures_of_its_command_alone() -> None:
    once = with_figures(TEXT, COMMANDS[0], "1 \\1 new\n")
    assert once == TEXT.replace("old\n", "```text\n1 \\1 new\n```\n")
    assert with_figures(once, COMMANDS[0], "1 \\1 new") == once
    assert commands_in(once) == COMMANDS


@pytest.mark.parametrize(("only", "chosen"), [("", COMMANDS), ("idle", COMMANDS[1:]), ("nothing", [])])
def test_chosen_commands_are_measured_and_written(tmp_path: Path, only: str, chosen: list[str]) -> None:
    document = tmp_path / "performance.md"
    document.write_text(TEXT)
    assert write_figures(document, only, str.upper) == chosen
    assert [command.upper() in document.read_text() for command in COMMANDS] == [each in chosen for each in COMMANDS]


@pytest.mark.parametrize("command", commands_in(DOCUMENT.read_text()))
def test_figures_in_the_docs_come_from_a_command(command: str) -> None:
    _, _, module, *words = command.split()
    assert importlib.util.find_spec(module) is not None
    parts = [word for word in words if not word.startswith("-") and not word.isdigit()]
    assert set(parts) <= (set(PARTS) if module == "bench" else set())
