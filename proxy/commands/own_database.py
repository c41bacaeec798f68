"""The gateway's own MongoDB for a command: by its options, else by routing.yaml here, else by MONGODB_URL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from proxy.config import Config, ConfigError, load
from proxy.database import Database, DatabaseError

UNUSABLE = 2
"""The exit code where MongoDB cannot be asked."""

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Own:
    """Where it is. `config` is routing.yaml's, None where that is not there or has problems."""

    url: str
    name: str
    config: Config | None

    @property
    def routes(self) -> tuple[str, ...]:
        """The names of the routes, as far as they are known here."""
        return tuple(route.name for route in self.config.routes) if self.config else ()


def options(command: F) -> F:
    """Gives a command `--mongodb-url`, `--database` and `--config`, its `file`."""
    for option in (
        click.option(
            "--config",
            "file",
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
    return Own(url or named, database or (config.mongodb.database if config else "scribe_proxy"), config)


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
