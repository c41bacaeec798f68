"""The gateway's own MongoDB for a command: by its options, else by routing.yaml here, else by MONGODB_URL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from proxy.config.loading import load
from proxy.config.models import Config
from proxy.config.problems import ConfigError
from proxy.runtime.database import Database, DatabaseError

UNUSABLE = 2
"""The exit code where MongoDB cannot be asked."""

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Own:
    """Where it is; and what else routing.yaml says, where that is there and sound: the contracts' directory, and the
    names of the routes."""

    url: str
    name: str
    contracts: Path
    routes: tuple[str, ...] = ()


def options(command: F) -> F:
    """Gives a command `--mongodb-url`, `--database` and `--config`, which is its `config_file`."""
    for option in (
        click.option(
            "--config",
            "config_file",
            type=click.Path(path_type=Path, dir_okay=False),
            default=Path("routing.yaml"),
            show_default=True,
            metavar="FILE",
            help="Need not be there.",
        ),
        click.option("--database", metavar="NAME", help="Its database; else mongodb.database of FILE."),
        click.option(
            "--mongodb-url", metavar="URL", help="The gateway's own MongoDB; else mongodb.url of FILE, or MONGODB_URL."
        ),
    ):
        command = option(command)
    return command


def find(url: str | None, database: str | None, file: Path) -> Own:
    """What the options mean. Raises click.UsageError where no MongoDB is named anywhere."""
    config = _config(file)
    named = config.mongodb.url.get_secret_value() if config else os.environ.get("MONGODB_URL", "")
    if not (url or named):
        raise click.UsageError("no MongoDB is named: --mongodb-url, mongodb.url in routing.yaml, or MONGODB_URL")
    if config is None:
        return Own(url or named, database or "scribe_proxy", file.parent / "contracts")
    routes = tuple(route.name for route in config.routes)
    return Own(url or named, database or config.mongodb.database, file.parent / config.contracts, routes)


def ask(own: Own, question: Callable[[Database], Awaitable[T]]) -> T:
    """What the database answers; exits with 2 where it does not."""

    async def run() -> T:
        database = Database(own.url, own.name)
        try:
            return await question(database)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except DatabaseError as error:
        click.echo(f"Error: {error}", err=True)
        raise click.exceptions.Exit(UNUSABLE) from error


def _config(file: Path) -> Config | None:
    if not file.exists():
        return None
    try:
        return load(file, os.environ)
    except ConfigError as error:
        click.echo(f"{file} is left out of account, since it has problems here ({len(error.problems)})", err=True)
        return None
