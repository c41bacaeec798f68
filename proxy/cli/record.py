"""`scribe-proxy record`: play scenarios against a live service and write its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from proxy.contract.editing import write_whole
from proxy.recordings import model
from proxy.recordings.model import RecordingError, Recordings
from proxy.recordings.recorder import OnStep, Recorder, Script, encode_recordings, read_scripts
from proxy.recordings.service_client import ServiceUnreachable
from proxy.recordings.side_effects import OutsideCalls, SideEffectsError, StoredDocuments, database_of, is_local
from proxy.types import JSON

_UNUSABLE = 2


@dataclass(frozen=True)
class Service:
    """The service to record, with its database and its list of outside calls."""

    base_url: str
    hang_after: float
    mongodb_url: str | None
    database: str | None
    calls_url: str | None


@dataclass
class Harvest:
    """Scenarios recorded so far; an interruption writes them to a partial file."""

    entries: list[JSON] = field(default_factory=list)


@click.command()
@click.argument("scenarios", type=click.Path(path_type=Path, exists=True))
@click.option("--base-url", required=True, metavar="URL", help="The service to record.")
@click.option(
    "--into",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Directory for http.json.",
)
@click.option(
    "--mongodb-url",
    metavar="URL",
    help="The service's MongoDB. Documents that a scenario leaves are recorded; it is EMPTIED before each.",
)
@click.option("--database", metavar="NAME", help="The service's database, where the URL does not name it.")
@click.option("--yes-empty-database", is_flag=True, help="Empty the database although it is on another machine.")
@click.option("--calls-url", metavar="URL", help="A list of outside calls: GET reads it, DELETE clears it.")
@click.option("--only", multiple=True, metavar="PATTERN", help="Only scenarios that match a glob, as in `verify`.")
@click.option("--hang-after", type=click.FloatRange(min=0.1), default=3.0, show_default=True, metavar="SECONDS")
@click.option("--force", is_flag=True, help="Replace existing recordings.")
def record(
    scenarios: Path,
    base_url: str,
    directory: Path,
    mongodb_url: str | None,
    database: str | None,
    yes_empty_database: bool,
    calls_url: str | None,
    only: tuple[str, ...],
    hang_after: float,
    force: bool,
) -> None:
    """Play SCENARIOS against a service and write its answers as recordings.

    SCENARIOS is a file like http.json, with or without answers, or a directory that holds one. In a request,
    {{login:/token}} is replaced by a part of the JSON answer of the earlier step `login`. Exits with 2 where the
    service, its database or its calls cannot be used; what was recorded until then is written to http.json.partial.
    """
    target = directory / "http.json"
    if target.exists() and not force:
        raise click.UsageError(f"{target} exists; --force replaces it")
    service = Service(base_url, hang_after, mongodb_url, _database(mongodb_url, database), calls_url)
    _refuse_foreign(mongodb_url, yes_empty_database)
    try:
        scripts = _chosen(read_scripts(scenarios), only)
    except RecordingError as error:
        raise click.UsageError(str(error)) from error
    harvest = Harvest()
    try:
        with _progress(sum(len(script.scenario.steps) for script in scripts)) as notice:
            asyncio.run(_record(service, scripts, harvest, notice))
        write_whole(target, encode_recordings(harvest.entries))
    except (ServiceUnreachable, SideEffectsError, RecordingError, ValueError, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        _write_partial(target, harvest)
        raise click.exceptions.Exit(_UNUSABLE) from error
    except KeyboardInterrupt:
        _write_partial(target, harvest)
        raise
    _print_summary(target, scenarios, scripts)


async def _record(service: Service, scripts: list[Script], harvest: Harvest, notice: OnStep) -> None:
    async with AsyncExitStack() as stack:
        documents = calls = None
        if service.mongodb_url and service.database:
            documents = await stack.enter_async_context(StoredDocuments(service.mongodb_url, service.database))
        if service.calls_url:
            calls = await stack.enter_async_context(OutsideCalls(service.calls_url))
        recorder = Recorder(service.base_url, service.hang_after, documents, calls)
        await recorder.reach()
        for script in scripts:
            harvest.entries.append(await recorder.record(script, notice))


def _chosen(scripts: list[Script], only: tuple[str, ...]) -> list[Script]:
    every = Recordings(tuple(script.scenario for script in scripts))
    chosen = {id(scenario) for scenario in model.select(every, only).scenarios}
    if not chosen:
        raise RecordingError("no scenario matches")
    return [script for script in scripts if id(script.scenario) in chosen]


def _write_partial(target: Path, harvest: Harvest) -> None:
    if harvest.entries:
        partial = target.with_name("http.json.partial")
        write_whole(partial, encode_recordings(harvest.entries))
        click.echo(f"{len(harvest.entries)} complete scenarios are in {partial}", err=True)


def _print_summary(target: Path, scenarios: Path, scripts: list[Script]) -> None:
    steps = sum(len(script.scenario.steps) for script in scripts)
    click.echo(f"{target}: {len(scripts)} scenarios, {steps} requests")
    if scenarios.is_dir() and (scenarios / "ws.json").exists():
        click.echo("the conversations in ws.json were not played: only HTTP is recorded", err=True)


def _database(mongodb_url: str | None, database: str | None) -> str | None:
    try:
        named = database or (database_of(mongodb_url) if mongodb_url else None)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if mongodb_url and not named:
        raise click.UsageError("--mongodb-url needs --database")
    return named


def _refuse_foreign(mongodb_url: str | None, empty: bool) -> None:
    if mongodb_url is not None and not is_local(mongodb_url) and not empty:
        raise click.UsageError("that MongoDB is not on this machine; --yes-empty-database if it may be emptied")


@contextmanager
def _progress(total: int) -> Iterator[OnStep]:
    """Show a progress bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<32.32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda step: progress.update(task, advance=1, description=step)
