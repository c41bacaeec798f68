"""`scribe-proxy verify`: play recordings against a service, and report differences."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxy.cli.played_service import PlayedService, progress_bar, service_options
from proxy.cli.shared_options import strict_option
from proxy.cli.unusable import Unusable
from proxy.comparison.exchange import Outcome
from proxy.comparison.modes import TRANSPORT_HEADERS
from proxy.contract import divergences
from proxy.contract.divergences import Divergence
from proxy.recordings import model
from proxy.recordings.model import Recordings
from proxy.recordings.player import PLAYS, OnResult, Player, PlayerSettings
from proxy.recordings.report import Report, Result, ResultCounts, tally, value_texts
from proxy.recordings.service_client import ServiceUnreachable
from proxy.recordings.side_effects import SideEffectsError
from proxy.reports.reproduction import NAME

_KINDS = {
    "step": "steps",
    "store": "stores",
    "calls": "outside calls",
    "conversation": "conversations",
    "connection": "handshakes",
}


@click.command()
@service_options(
    base_url="The service to compare with the recordings.",
    mongodb_url="The service's MongoDB. Its documents are compared, and DELETED before each scenario.",
)
@click.option(
    "--recordings",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path("contracts/recordings"),
    show_default=True,
    help="Directory of http.json and ws.json.",
)
@click.option(
    "--accept",
    "accepted",
    multiple=True,
    metavar="OUTCOME=STATUS",
    help="Accept a status for a recorded hang or reset, as in hang=504; may be repeated.",
)
@click.option(
    "--divergences",
    "divergences_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File of declared differences.  [default: divergences.yaml beside the directory of recordings, if it exists]",
)
@click.option(
    "--only",
    multiple=True,
    metavar="PATTERN",
    help="Only scenarios that match a glob, by name or by one of their requests: 'GET /api/*'.",
)
@click.option(
    "--ignore-header",
    "ignored",
    multiple=True,
    metavar="NAME",
    help="A response header not to compare; may be repeated.",
)
@strict_option()
@click.option(
    "--plays",
    type=click.IntRange(min=1),
    default=PLAYS,
    show_default=True,
    metavar="N",
    help="With --strict: play a scenario whose dates differ up to N times. A difference counts if all plays show it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def verify(
    service: PlayedService,
    directory: Path,
    accepted: tuple[str, ...],
    divergences_file: Path | None,
    only: tuple[str, ...],
    ignored: tuple[str, ...],
    strict: bool,
    plays: int,
    as_json: bool,
) -> None:
    """Play recordings against a service and report each step as equal, declared or differing.

    Exits with 0 if all differences are declared, 1 if others exist, 2 if the service cannot be verified.
    """
    try:
        chosen = model.select(model.load(directory), only)
        declared = _declared(divergences_file, directory)
    except (model.RecordingError, divergences.DivergenceError) as error:
        raise click.UsageError(str(error)) from error
    if not (chosen.scenarios or chosen.conversations or chosen.connections):
        raise click.UsageError("no recording matches")
    headers = TRANSPORT_HEADERS | {name.lower() for name in ignored}
    settings = PlayerSettings(service.hang_after, _accepted(accepted), declared, headers, strict=strict, plays=plays)
    report = _run(service, chosen, settings)
    _print(report, as_json, whole=not only)
    for line in (*_not_reproduced(chosen, report), *_not_emptied(chosen, report, service)):
        click.echo(line, err=True)
    raise SystemExit(1 if report.differing else 0)


def _declared(file: Path | None, recordings: Path) -> tuple[Divergence, ...]:
    """Return the declared differences of a file, or of the one that belongs to the recordings."""
    own = recordings.absolute().parent / "divergences.yaml"
    chosen = file or (own if own.is_file() else None)
    return divergences.load(chosen) if chosen else ()


def _run(service: PlayedService, chosen: Recordings, settings: PlayerSettings) -> Report:
    try:
        with progress_bar(_expected(chosen, service)) as advance:
            return asyncio.run(_play(service, chosen, settings, lambda result: advance(result.scenario)))
    except (ServiceUnreachable, SideEffectsError, ValueError) as error:
        raise Unusable(str(error)) from error


async def _play(service: PlayedService, chosen: Recordings, settings: PlayerSettings, on_result: OnResult) -> Report:
    async with service.side_effects() as (documents, calls):
        return await Player(service.base_url, settings, documents, calls).play(chosen, on_result)


def _not_reproduced(chosen: Recordings, report: Report) -> Iterator[str]:
    """Yield a line for each sample of the reports (`report --as recording`) that shows no difference."""
    differing = {result.scenario for result in report.results if result.differences}
    for one in chosen.scenarios:
        if one.name.startswith(NAME) and one.name not in differing:
            yield f"{one.name}: not reproduced, so the difference depends on values that were replaced; it {one.about}"


def _not_emptied(chosen: Recordings, report: Report, service: PlayedService) -> Iterator[str]:
    """Yield a line if documents of earlier scenarios may have caused differences."""
    if report.differing and not service.mongodb_url and any(one.store or one.before for one in chosen.scenarios):
        yield (
            "these scenarios start from an empty database, and documents of other scenarios may cause differences; "
            "--mongodb-url empties it before each"
        )


def _accepted(pairs: tuple[str, ...]) -> dict[Outcome, int]:
    statuses: dict[Outcome, int] = {}
    for pair in pairs:
        outcome, _, status = pair.partition("=")
        if outcome not in ("hang", "reset") or not status.isdecimal():
            raise click.UsageError(f"--accept {pair}: hang=STATUS or reset=STATUS is expected")
        statuses[cast(Outcome, outcome)] = int(status)
    return statuses


def _expected(chosen: Recordings, service: PlayedService) -> int:
    """Return the number of results to expect."""
    side_effects = bool(service.mongodb_url) + bool(service.calls_url)
    steps = sum(len(scenario.steps) + side_effects for scenario in chosen.scenarios)
    return steps + len(chosen.conversations) + len(chosen.connections)


def _print(report: Report, as_json: bool, *, whole: bool) -> None:
    """Print a report; divergences that were not observed are named only if all recordings were played (`whole`)."""
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    console.print(_table(report))
    for result in report.results:
        if result.verdict != "equal":
            console.print(_account(result), soft_wrap=True)
    console.print(_summary(report, report.unseen if whole else ()), soft_wrap=True)


def _table(report: Report) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("endpoint", overflow="fold")
    for name in ("equal", "declared", "differing"):
        table.add_column(name, justify="right")
    for endpoint, count in report.by_endpoint().items():
        table.add_row(Text(endpoint), *_cells(count))
    return table


def _cells(count: ResultCounts) -> tuple[Text, Text, Text]:
    return (
        Text(str(count.equal or "")),
        Text(str(count.declared or ""), style="yellow"),
        Text(str(count.differing or ""), style="bold red"),
    )


def _account(result: Result) -> Text:
    """Format one result's differences: its location, then the recorded and the live value."""
    where = " / ".join(part for part in (result.scenario, result.name) if part)
    style = "bold red" if result.verdict == "differing" else "yellow"
    text = Text(f"\n{result.verdict}  ", style=style).append(f"{where}  {result.endpoint}", style="default")
    if result.declared:
        text.append(f"  [{', '.join(result.declared)}]", style="yellow")
    for difference in result.unexplained:
        text.append(f"\n  {difference.location} ({difference.kind}, {difference.severity})", style="bold default")
        recorded, live = value_texts(difference)
        text.append(f"\n    recorded  {recorded}\n    live      {live}", style="default")
    return text


def _summary(report: Report, unobserved: Sequence[str]) -> str:
    counts = ", ".join(
        f"{count.equal} of {count.total} {_KINDS[subject]}" for subject, count in report.by_subject().items()
    )
    whole = tally(report.results)
    judged = f"Equal: {counts}. Declared: {whole.declared}. Differing: {whole.differing}. {report.seconds:.1f} s."
    return f"\n{judged}" + (f"\nDeclared but not observed: {', '.join(unobserved)}" if unobserved else "")
