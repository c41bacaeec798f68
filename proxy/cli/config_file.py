"""Open a routing.yaml for a command; print problems on standard error and exit with 1."""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path

import click

from proxy.config.loading import load
from proxy.config.models import Config
from proxy.config.problems import ConfigError
from proxy.config.reading import ROUTE_SECTIONS
from proxy.runtime.garbage import without_collection


def opened(path: Path, *, pinned: bool = True, needed: Container[str] = ROUTE_SECTIONS) -> Config:
    """Load a file with this shell's environment, without SCRIBE_PROXY_PIN unless `pinned`.

    `needed`: the sections whose variables must be set; see `load`.
    """
    env = {name: value for name, value in os.environ.items() if pinned or name != "SCRIBE_PROXY_PIN"}
    try:
        with without_collection():
            return load(path, env, needed=needed)
    except ConfigError as error:
        show_problems(error)
        raise click.exceptions.Exit(1) from None


def show_problems(error: ConfigError) -> None:
    """Print the problems of a refused file on standard error, each with its line and a caret."""
    from proxy.cli.diagnostics import Diagnostic, text_of  # needed only for a refused file

    for line in text_of(Diagnostic(error.source, problem) for problem in error.problems):
        click.echo(line, err=True)
