"""The line that the demo prints for a shell: quoted for any shell, with a token that lasts."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from demo.shell import exports, ops_token

SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh") if shutil.which(shell)]
ODD = ["plain", "a b", "it's", "$HOME", "`id`", "a;b&c|d", 'x"y', "*", "é"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("odd", ODD)
def test_pasted_line_sets_values_verbatim(shell: str, odd: str) -> None:
    line = exports({"MONGODB_URL": f"mongodb://h/?x={odd}", "OPS_TOKEN": odd}, Path("/opt") / odd)
    script = f'{line}; printf "%s\\n" "$PATH" "$MONGODB_URL" "$OPS_TOKEN"'
    process = subprocess.run(
        [shutil.which(shell) or shell, "-c", script],
        env={"PATH": "/a b/bin:/usr/bin"},
        text=True,
        capture_output=True,
        check=True,
    )
    assert process.stdout.splitlines() == [f"/opt/{odd}:/a b/bin:/usr/bin", f"mongodb://h/?x={odd}", odd]


def test_ops_token_is_stored_readable_by_its_owner(tmp_path: Path) -> None:
    data = tmp_path / "data"
    token = ops_token(data, {})
    assert len(token) >= 16
    assert ops_token(data, {"OPS_TOKEN": ""}) == token
    assert stat.S_IMODE((data / "ops-token").stat().st_mode) == 0o600
    assert ops_token(tmp_path / "other", {}) != token


def test_token_from_the_environment_is_not_stored(tmp_path: Path) -> None:
    assert ops_token(tmp_path, {"OPS_TOKEN": "x"}) == "x"
    assert list(tmp_path.iterdir()) == []


def test_empty_token_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "ops-token").touch()
    assert len(ops_token(tmp_path, {})) >= 16
