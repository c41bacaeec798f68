"""`scribe-proxy capture`: recordings of live traffic, in which nobody can be recognised.

Not a part of `record`, whose `--mongodb-url` names the service's own database, and empties it.
"""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from proxy.capture.jobs import CapturedExchange, CaptureJob, CaptureJobs
from proxy.cli import database_options
from proxy.cli.param_types import DurationParam
from proxy.contract.editing import write_whole
from proxy.recordings.recorder import encode_recordings
from proxy.types import JSON

LOOK = 0.5
"""Seconds between two looks at what there is."""
LONGEST = 86_400.0

Told = Callable[[int, int], None]
"""Is told how much was captured, and by how many processes."""


@click.command()
@database_options.options
@click.option(
    "--into",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Directory for http.json.",
)
@click.option(
    "--for", "duration", type=DurationParam(), default="10m", show_default=True, help="How long; at most 24h."
)
@click.option("--each", type=click.IntRange(1, 1000), default=20, show_default=True, help="Of an operation and status.")
@click.option("--most", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="Of all.")
@click.option("--route", "routes", multiple=True, metavar="NAME", help="Only this route. May be given again.")
@click.option(
    "--keep-names", is_flag=True, help="Keep names of fields that the contract lacks. Only where names are never data."
)
@click.option("--force", is_flag=True, help="Replace recordings that are there.")
def capture(
    mongodb_url: str | None,
    database: str | None,
    config_file: Path,
    directory: Path,
    duration: float,
    each: int,
    most: int,
    routes: tuple[str, ...],
    keep_names: bool,
    force: bool,
) -> None:
    """Write recordings of traffic that passes through the gateway, redacted.

    Captures what legacy answers to requests that are compared: those of callers in a route's `shadow` share. Texts,
    numbers and ids are replaced by others of their kind before they leave the gateway. Ends when the time is over, when
    there is enough, or on Ctrl-C, which keeps what there is.
    """
    target = directory / "http.json"
    if target.exists() and not force:
        raise click.UsageError(f"{target} is there already; --force replaces it")
    if duration > LONGEST:
        raise click.UsageError("--for: at most 24h")
    own = database_options.find(mongodb_url, database, config_file)
    _refuse_unknown(routes, own.routes)
    order = CaptureJob.new(time.time() + duration, each, routes, named=keep_names)
    with _progress(most) as told:
        captured = database_options.ask(own, lambda database: _capture(CaptureJobs(database), order, most, told))
    if not captured:
        _explain_nothing(own.routes)
        raise click.exceptions.Exit(1)
    write_whole(target, encode_recordings(scenarios(captured)))
    operations = len({one.operation for one in captured})
    click.echo(f"{target}: {_counted(len(captured), 'request')} of {_counted(operations, 'operation')}")


def scenarios(captured: Sequence[CapturedExchange]) -> list[JSON]:
    """A scenario of each operation, its steps by status; they do not build on each other."""
    found: dict[str, list[JSON]] = {}
    for number, one in enumerate(captured, 1):
        found.setdefault(one.operation, []).append({"name": f"{one.status} {number}", **one.step})
    about = "captured from live traffic and redacted; steps do not build on each other"
    return [{"scenario": f"captured: {name}", "about": about, "steps": found[name]} for name in sorted(found)]


async def _capture(orders: CaptureJobs, order: CaptureJob, most: int, told: Told) -> list[CapturedExchange]:
    """Places the order, and takes it back whatever happens."""
    await orders.place(order)
    try:
        try:
            while time.time() < order.until:
                count = await orders.count(order)
                told(count, await orders.taken_up(order))
                if count >= most:
                    break
                await asyncio.sleep(LOOK)
        except asyncio.CancelledError:  # Ctrl-C
            pass
        return await orders.collect(order, most)
    finally:
        await orders.withdraw(order)


def _refuse_unknown(routes: Sequence[str], known: Sequence[str]) -> None:
    for route in routes if known else ():
        if route not in known:
            close = difflib.get_close_matches(route, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise click.UsageError(f"there is no route {route}{hint}")


def _explain_nothing(routes: Sequence[str]) -> None:
    click.echo("nothing was captured: either no request was compared in this time, or no shadow process runs", err=True)
    if routes:
        click.echo("a request is compared where its route has a `shadow` share, and a native app is named", err=True)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


@contextmanager
def _progress(most: int) -> Iterator[Told]:
    """A bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} captured"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("no process has taken it up yet", total=most)

        def tell(count: int, processes: int) -> None:
            taken = f"{processes} shadow processes" if processes else "no process has taken it up yet"
            progress.update(task, completed=count, description=taken)

        yield tell
