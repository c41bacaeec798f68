"""Completion in a shell: commands, and names of routes and groups from the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from proxy.cli.main import main

TEXT = """
legacy: {url: "${NOT_SET}"}
routes:
- {name: notes.list, match: GET /n, group: notes}
- {name: notes.create, match: POST /n, group: notes}
- {name: prompts, match: GET /p}
- {match: GET /nameless}
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routing.yaml").write_text(TEXT)


def completed(*words: str) -> list[str]:
    items = ShellComplete(main, {}, "scribe-proxy", "_X").get_completions(list(words[:-1]), words[-1])
    return [str(item.value) for item in items]


def test_commands_are_completed() -> None:
    assert completed("sche") == ["schema", "schedule"]


@pytest.mark.parametrize("command", ["rollback", "promote", "pause", "resume", "ack", "status", "history"])
def test_actions_complete_groups_and_routes(command: str) -> None:
    assert completed(command, "") == ["notes", "notes.list", "notes.create", "prompts"]
    assert completed(command, "notes.c") == ["notes.create"]


@pytest.mark.parametrize("command", ["schedule", "report", "capture"])
def test_options_complete_routes(command: str) -> None:
    assert completed(command, "--route", "n") == ["notes.list", "notes.create"]


@pytest.mark.parametrize("text", ["", "[", "routes: 5", "- a", "routes: [a, {name: [b]}]"])
def test_unreadable_file_completes_nothing(text: str) -> None:
    Path("routing.yaml").write_text(text)
    assert completed("ack", "") == []
    Path("routing.yaml").unlink()
    assert completed("ack", "") == []


def test_given_file_is_used_for_completion(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(TEXT.replace("prompts", "drafts"))
    assert completed("ack", "--config", "other.yaml", "dr") == ["drafts"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_of_a_shell_is_printed(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert (result.exit_code, "_SCRIBE_PROXY_COMPLETE" in result.output) == (0, True)
