"""The file to which `record` and `capture` write."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from proxy.cli.option_group import option_group


def _target(directory: Path, force: bool) -> Path:
    target = directory / "http.json"
    if target.exists() and not force:
        raise click.UsageError(f"{target} exists; --force replaces it")
    return target


recordings_target: Final = option_group(
    "target",
    _target,
    click.option(
        "--into",
        "directory",
        type=click.Path(path_type=Path, file_okay=False),
        required=True,
        help="Directory for http.json.",
    ),
    click.option("--force", is_flag=True, help="Replace existing recordings."),
)
"""Adds `--into` and `--force` to a command, and passes the file as `target`."""
