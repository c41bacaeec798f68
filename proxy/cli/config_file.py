"""Opens a routing.yaml for a command; prints problems on standard error and exits with 1."""

from __future__ import annotations

import os
from pathlib import Path

import click

from proxy.config.loading import load
from proxy.config.models import Config
from proxy.config.problems import ConfigError

ROUTING_FILE = click.Path(path_type=Path, dir_okay=False)


def opened(path: Path, *, pinned: bool = True) -> Config:
    """Load a file with this shell's environment, without SCRIBE_PROXY_PIN unless `pinned`."""
    env = {name: value for name, value in os.environ.items() if pinned or name != "SCRIBE_PROXY_PIN"}
    try:
        return load(path, env)
    except ConfigError as error:
        click.echo(str(error), err=True)
        raise click.exceptions.Exit(1) from None
