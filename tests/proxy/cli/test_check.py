"""`scribe-proxy check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import check

SOUND = "legacy: {url: '${LEGACY_URL:-http://x}'}\nnative: proxy.cli.main:main\nroutes:\n"
SOUND += "- {name: a, match: GET /a, native: 5%}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "routing.yaml"
    path.write_text(SOUND)
    return path


def test_valid_file_is_summarised(file: Path) -> None:
    result = check(file)
    assert result.exit_code == 0
    assert result.output.startswith(f"{file}: valid, 1 route, 1 with a native share, revision ")


def test_problems_are_lines_with_their_position(file: Path) -> None:
    file.write_text("legacy: {ulr: http://x}\nroutes:\n- {name: a, match: GTE /a}\n")
    result = check(file)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[::3] == [
        f"{file}:1:10: legacy.ulr: unknown key; did you mean `url`?",
        f"{file}:3:20: routes[a].match: 'GTE' is not a method; did you mean GET?",
    ]
    assert result.stderr == f"{file}: 2 problems\n"


def test_several_files_are_all_checked(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    result = check(other, file)
    assert result.exit_code == 1
    assert f"{other}: cannot be read: No such file or directory" in result.stdout
    assert f"{file}: valid" in result.stdout
    assert result.stderr == f"{other}: 1 problem\n"


def test_check_without_a_name_reads_routing_yaml(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert check().output.startswith("routing.yaml: valid")


def test_environment_counts(file: Path) -> None:
    assert check(file, env={"LEGACY_URL": "nonsense"}).exit_code == 1


def test_notes_fail_with_the_strict_option_only(file: Path) -> None:
    file.write_text(SOUND.replace("5%}", "5%, guard: {}}"))
    result = check(file)
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 4)
    assert result.stdout.startswith(f"{file}:1:1: mongodb: without it, each gateway keeps guards and rollouts")
    assert check("--strict", file).exit_code == 1
