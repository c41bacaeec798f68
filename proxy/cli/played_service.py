"""Common parts of `record` and `verify`: the options of a service, its side effects, the progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from proxy.cli.option_group import Decorator, option_group
from proxy.cli.shared_options import hang_after_option
from proxy.recordings.side_effects import OutsideCalls, StoredDocuments, database_of, is_local, open_side_effects

SideEffects = tuple[StoredDocuments | None, OutsideCalls | None]
"""The database and the list of outside calls, as far as the options name them."""


@dataclass(frozen=True)
class PlayedService:
    """A service, its database and its list of outside calls. Those that are None are neither read nor emptied.

    `hang_after`: seconds without an answer that count as a hang.
    """

    base_url: str
    hang_after: float
    mongodb_url: str | None
    database: str | None
    calls_url: str | None

    def side_effects(self) -> AbstractAsyncContextManager[SideEffects]:
        """Open database and outside calls. Raises SideEffectsError, ValueError."""
        return open_side_effects(self.mongodb_url, self.database, self.calls_url)


def service_options(base_url: str, mongodb_url: str) -> Decorator:
    """Return a decorator that adds the options of a service and passes them as `service`.

    The arguments are the help texts of `--base-url` and `--mongodb-url`.
    """
    return option_group(
        "service",
        _service,
        click.option("--base-url", required=True, metavar="URL", help=base_url),
        click.option("--mongodb-url", metavar="URL", help=mongodb_url),
        click.option("--database", metavar="NAME", help="The service's database, if the URL does not name it."),
        click.option("--yes-empty-database", is_flag=True, help="Allow emptying a database on another machine."),
        click.option("--calls-url", metavar="URL", help="A list of outside calls: GET reads it, DELETE clears it."),
        hang_after_option(3.0),
    )


def _service(
    base_url: str,
    mongodb_url: str | None,
    database: str | None,
    yes_empty_database: bool,
    calls_url: str | None,
    hang_after: float,
) -> PlayedService:
    named = _emptied_database(mongodb_url, database, yes_empty_database)
    return PlayedService(base_url, hang_after, mongodb_url, named, calls_url)


@contextmanager
def progress_bar(total: int, console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """Show a progress bar on a terminal, nothing elsewhere. The result advances it, with a description."""
    console = console or Console(stderr=True)
    columns = (TextColumn("{task.description:<32.32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda description: progress.update(task, advance=1, description=description)


def _emptied_database(mongodb_url: str | None, database: str | None, confirmed: bool) -> str | None:
    """Return the name of the database. Raises UsageError without a name, and for another machine's unless confirmed."""
    if not mongodb_url:
        return database
    try:
        named = database or database_of(mongodb_url)
        local = is_local(mongodb_url)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if not named:
        raise click.UsageError("--mongodb-url needs --database")
    if not local and not confirmed:
        raise click.UsageError("that MongoDB is not on this machine; give --yes-empty-database if it may be emptied")
    return named
