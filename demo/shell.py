"""A line to paste into a shell, so that the commands in the docs work with the running demo."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Final

_TOKEN_FILE: Final = "ops-token"  # noqa: S105 - a file's name


def ops_token(data: Path, env: Mapping[str, str]) -> str:
    """Return the token of the ops listener: OPS_TOKEN of `env`, or else the demo's own.

    The demo's own token is created once and stored in `data`, so that a pasted line stays valid after a restart.
    """
    if token := env.get("OPS_TOKEN"):
        return token
    file = data / _TOKEN_FILE
    with contextlib.suppress(FileNotFoundError):
        if token := file.read_text().strip():
            return token
    data.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
        new.write(token := secrets.token_urlsafe(24))
    return token


def exports(values: Mapping[str, str], programs: Path = Path(sys.executable).parent) -> str:
    """Return `export PATH=… NAME=…`, quoted for a shell; `programs` is the directory of `scribe-proxy`."""
    named = (f"{name}={quote(value)}" for name, value in values.items())
    return " ".join((f'export PATH={quote(str(programs))}:"$PATH"', *named))
