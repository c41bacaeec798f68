"""`scribe-proxy contracts`: infer the contract from recordings, check it, and show its coverage."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import NoReturn

import click

from proxy.cli.console import console
from proxy.cli.coverage_table import coverage_table, summarize_coverage
from proxy.cli.database_options import DatabaseOptions, database_options, run_query
from proxy.cli.shared_options import since_option
from proxy.config.loading import load as load_routing
from proxy.config.problems import ConfigError
from proxy.contract.bundle import load_divergences
from proxy.contract.faults import ContractError
from proxy.contract.model import Contract
from proxy.contract.reading import load
from proxy.inference.checking import ObservedOperation, coverage, violations_of, with_live_counts
from proxy.inference.editing import Files
from proxy.inference.merging import merge
from proxy.inference.samples import joined, learned, observe, routed
from proxy.recordings import model
from proxy.recordings.model import RecordingError, Recordings
from proxy.reports.models import Span
from proxy.reports.reader import ReportReader
from proxy.wording import counted

_CONTRACT = click.option(
    "--contract",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("contracts/openapi.yaml"),
    show_default=True,
    help="The contract's main file.",
)
_RECORDINGS = click.option(
    "--recordings",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("contracts/recordings"),
    show_default=True,
    help="Directory of http.json and ws.json.",
)


@click.group()
def contracts() -> None:
    """Infer the contract from recordings, check it against them, and show its coverage."""


@contracts.command()
@_RECORDINGS
@click.option(
    "--into",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("contracts/openapi.yaml"),
    show_default=True,
    help="The contract to merge into; created if absent.",
)
@click.option(
    "--routing",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Take operations and path templates from a routing.yaml.",
)
@click.option("--title", default="Recorded service", show_default=True, help="Title of a new contract.")
def infer(directory: Path, into: Path, routing: Path | None, title: str) -> None:
    """Merge recordings into a contract; hand-written parts stay.

    Without --routing, and while the contract has no operations, path templates are inferred from the ids in recorded
    paths. Prints a line for each addition, and for each schema that is widened because a recording contradicts it.
    """
    recorded = _recorded(directory)
    known = _load(into) if into.exists() else Contract([])
    operations = joined(known, _routed(routing)) if routing else known
    if not operations.operations:
        operations = learned(recorded)
    files = Files(into)
    try:
        changes = merge(files, observe(recorded, operations), title)
        written = files.save()
    except (ContractError, OSError) as error:
        raise click.ClickException(str(error)) from error
    for change in changes:
        click.echo(change)
    click.echo(f"{counted(len(changes), 'change')} in {counted(len(written), 'file')}", err=True)


@contracts.command()
@_CONTRACT
@_RECORDINGS
@click.option(
    "--divergences",
    "divergences_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Declared differences to check as well; default divergences.yaml in the contract's directory.",
)
def check(file: Path, directory: Path, divergences_file: Path | None) -> None:
    """Validate a contract, and report recordings that violate it.

    Exits with 0 if there is no problem, 1 otherwise.
    """
    contract = _load(file)
    declared = divergences_file or file.parent / "divergences.yaml"
    if divergences_file or declared.exists():
        try:
            load_divergences(declared, contract)
        except ContractError as error:
            _refuse(error)
    recorded = _recorded(directory)
    rows = list(violations_of(contract, recorded))
    for violation in rows:
        click.echo(str(violation))
    steps = sum(len(scenario.steps) for scenario in recorded.scenarios)
    summary = f"{counted(steps, 'request')}, {counted(len(recorded.conversations), 'conversation')}"
    click.echo(
        f"{file}: {counted(len(contract.operations), 'operation')}; {summary}; {counted(len(rows), 'violation')}"
    )
    if rows:
        raise click.exceptions.Exit(1)


@contracts.command(name="coverage")
@_CONTRACT
@_RECORDINGS
@click.option("--live", is_flag=True, help="Count compared live traffic as well.")
@since_option("30d", "Beginning of the live traffic, with --live.")
@database_options
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def show_coverage(
    file: Path,
    directory: Path,
    *,
    live: bool,
    since: float,
    database: DatabaseOptions,
    as_json: bool,
) -> None:
    """Show how many samples each operation and status has.

    `0` is declared without a sample, `!` is a sample that is not declared. With --live, `3+120` means 3 samples and 120
    answers of legacy to compared requests, from the gateway's reports.
    """
    contract = _load(file)
    rows = coverage(contract, _recorded(directory))
    if live:
        live_counts = run_query(database.resolve(), lambda opened: _live_operations(ReportReader(opened), since))
        rows = with_live_counts(rows, contract, live_counts)
    if as_json:
        click.echo(json.dumps([row.as_json() for row in rows], indent=2))
        return
    console().print(coverage_table(rows))
    click.echo(summarize_coverage(rows))


async def _live_operations(reading: ReportReader, since: float) -> list[ObservedOperation]:
    rows = await reading.coverage(Span(since, time.time() + 1))
    return [
        ObservedOperation(one.operation, one.status, one.media, one.count) for one in rows if one.operation is not None
    ]


def _routed(routing: Path) -> Contract:
    try:
        return routed((route.name, route.pattern) for route in load_routing(routing, os.environ).routes)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error


def _recorded(directory: Path) -> Recordings:
    try:
        return model.load(directory, counterexamples=False)
    except RecordingError as error:
        raise click.UsageError(str(error)) from error


def _load(file: Path) -> Contract:
    try:
        return load(file)
    except ContractError as error:
        _refuse(error)


def _refuse(error: ContractError) -> NoReturn:
    click.echo(str(error))
    click.echo(counted(len(error.faults), "problem"), err=True)
    raise click.exceptions.Exit(1) from None
