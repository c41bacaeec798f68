"""`scribe-proxy capture`: write anonymised recordings of live traffic.

It is separate from `record`, whose `--mongodb-url` names the service's own database and empties it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from proxy.capture.jobs import CapturedExchange, CaptureJob, CaptureJobs
from proxy.cli.completion import complete_routes
from proxy.cli.database_options import DatabaseOptions, database_options, run_query
from proxy.cli.param_types import DurationParam
from proxy.cli.recordings_target import recordings_target
from proxy.inference.editing import write_whole
from proxy.recordings.recorder import encode_recordings
from proxy.types import JSON
from proxy.wording import counted, did_you_mean

POLL_INTERVAL = 0.5
"""Seconds between two counts of captured exchanges."""
LONGEST = 86_400.0

ProgressCallback = Callable[[int, int], None]
"""Receives the number of captured exchanges and of capturing processes."""


@click.command()
@database_options
@recordings_target
@click.option(
    "--for", "duration", type=DurationParam(), default="10m", show_default=True, help="Duration; at most 24h."
)
@click.option(
    "--per-operation",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="Maximum for an operation and status.",
)
@click.option("--max-total", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="Maximum in total.")
@click.option(
    "--route",
    "routes",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_routes,
    help="Only this route; may be repeated.",
)
@click.option(
    "--undeclared-names",
    "undeclared_names",
    is_flag=True,
    help="Write names of fields that the contract lacks. Only if names are never data.",
)
def capture(
    database: DatabaseOptions,
    target: Path,
    duration: float,
    per_operation: int,
    max_total: int,
    routes: tuple[str, ...],
    undeclared_names: bool,
) -> None:
    """Write anonymised recordings of live traffic.

    Captures legacy's answers to compared requests: those of callers in a route's `shadow` share. Texts, numbers and ids
    are replaced by values of the same kind before they leave the gateway. Stops after the duration, at the maximum, or
    on Ctrl-C; what was captured until then is written.
    """
    if duration > LONGEST:
        raise click.UsageError("--for: at most 24h")
    target_database = database.resolve()
    _refuse_unknown(routes, target_database.routes)
    job = CaptureJob.new(time.time() + duration, per_operation, routes, named=undeclared_names)
    with _progress(max_total) as report_progress:
        captured = run_query(target_database, lambda db: _capture(CaptureJobs(db), job, max_total, report_progress))
    if not captured:
        _explain_nothing(target_database.routes)
        raise click.exceptions.Exit(1)
    write_whole(target, encode_recordings(scenarios(captured)))
    operations = len({one.operation for one in captured})
    click.echo(f"{target}: {counted(len(captured), 'request', ',')} of {counted(operations, 'operation', ',')}")


def scenarios(captured: Sequence[CapturedExchange]) -> list[JSON]:
    """Return one scenario for each operation, with independent steps by status."""
    steps: dict[str, list[JSON]] = {}
    for number, one in enumerate(captured, 1):
        steps.setdefault(one.operation, []).append({"name": f"{one.status} {number}", **one.step})
    about = "captured from live traffic and redacted; steps do not build on each other"
    return [{"scenario": f"captured: {name}", "about": about, "steps": steps[name]} for name in sorted(steps)]


async def _capture(
    jobs: CaptureJobs, job: CaptureJob, max_total: int, report_progress: ProgressCallback
) -> list[CapturedExchange]:
    """Publish the job, poll until it is complete, and withdraw it in any case."""
    await jobs.create(job)
    try:
        try:
            while time.time() < job.until:
                count = await jobs.count(job)
                report_progress(count, await jobs.taken_up(job))
                if count >= max_total:
                    break
                await asyncio.sleep(min(POLL_INTERVAL, job.until - time.time()))
        except asyncio.CancelledError:  # Ctrl-C
            pass
        return await jobs.collect(job, max_total)
    finally:
        await jobs.withdraw(job)


def _refuse_unknown(routes: Sequence[str], known: Sequence[str]) -> None:
    for route in routes if known else ():
        if route not in known:
            raise click.UsageError(f"there is no route {route}{did_you_mean(route, known)}")


def _explain_nothing(routes: Sequence[str]) -> None:
    click.echo("nothing was captured: no request was compared in this time, or no shadow process runs", err=True)
    if routes:
        click.echo("requests are compared on routes with a `shadow` share, in a file with a `native` app", err=True)


@contextmanager
def _progress(max_total: int) -> Iterator[ProgressCallback]:
    """Show a progress bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} captured"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("no process has started the job yet", total=max_total)

        def report(count: int, processes: int) -> None:
            taken = f"{processes} shadow processes" if processes else "no process has started the job yet"
            progress.update(task, completed=count, description=taken)

        yield report
