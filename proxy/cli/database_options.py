"""The gateway's own MongoDB, which a command takes from its options, routing.yaml or MONGODB_URL, in this order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import click

from proxy.cli.option_group import option_group
from proxy.cli.shared_options import config_option
from proxy.cli.unusable import Unusable
from proxy.config.loading import load
from proxy.config.models import Config
from proxy.config.problems import ConfigError
from proxy.config.reading import REPORT_SECTIONS
from proxy.database.database import Database, DatabaseError, InvalidDatabaseUrl, InvalidDriver, Unavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DatabaseTarget:
    """The database to use, and from a valid routing.yaml the contracts' directory, the routes and `ops.url`.

    `source` names the setting that the URL is from. `shadowed` are the routes with a `shadow` share.
    """

    url: str
    name: str
    contracts: Path
    source: str
    routes: tuple[str, ...] = ()
    shadowed: tuple[str, ...] = ()
    ops_url: str = ""


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """The options with which a command names the gateway's database; `config_file` may be absent."""

    mongodb_url: str | None
    database: str | None
    config_file: Path

    def resolve(self) -> DatabaseTarget:
        """Return the database. Raises click.UsageError if no MongoDB is named."""
        config = _config(self.config_file)
        url = self.mongodb_url or (config.mongodb.url.get_secret_value() if config else os.environ.get("MONGODB_URL"))
        if not url:
            raise click.UsageError("no MongoDB is named: --mongodb-url, mongodb.url in routing.yaml, or MONGODB_URL")
        if config is None:
            contracts = self.config_file.parent / "contracts"
            source = "--mongodb-url" if self.mongodb_url else "MONGODB_URL"
            return DatabaseTarget(url, self.database or "scribe_proxy", contracts, source)
        return DatabaseTarget(
            url,
            self.database or config.mongodb.database,
            self.config_file.parent / config.contracts,
            "--mongodb-url" if self.mongodb_url else f"mongodb.url of {self.config_file}, by default MONGODB_URL",
            tuple(route.name for route in config.routes),
            tuple(route.name for route in config.routes if route.shadow.share),
            config.ops.url,
        )


database_options: Final = option_group(
    "database",
    DatabaseOptions,
    click.option(
        "--mongodb-url", metavar="URL", help="The gateway's own MongoDB; else mongodb.url of FILE, or MONGODB_URL."
    ),
    click.option("--database", metavar="NAME", help="The gateway's database; else mongodb.database of FILE."),
    config_option("config_file", "The routing file; may be absent."),
)
"""Adds `--mongodb-url`, `--database` and `--config` to a command, and passes `DatabaseOptions` as `database`."""


def run_query(target: DatabaseTarget, query: Callable[[Database], Awaitable[T]]) -> T:
    """Return the result of a query; exit with 2 if MongoDB cannot be reached, and name the setting of its URL."""

    async def run() -> T:
        database = Database(target.url, target.name)
        try:
            return await query(database)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except Unavailable as error:
        raise Unusable(f"{error}; its URL is {target.source}") from error
    except InvalidDatabaseUrl as error:
        source = "" if isinstance(error, InvalidDriver) else f"; it is from {target.source}"
        raise Unusable(f"{error}{source}") from error
    except DatabaseError as error:
        raise Unusable(str(error)) from error


def _config(file: Path) -> Config | None:
    if not file.exists():
        return None
    try:
        return load(file, os.environ, needed=REPORT_SECTIONS)
    except ConfigError as error:
        more = f" (and {len(error.problems) - 1} more)" if len(error.problems) > 1 else ""
        problem = error.problems[0].located(error.source, column=True)
        click.echo(f"{file} is ignored, as `scribe-proxy check` refuses it: {problem}{more}", err=True)
        return None
