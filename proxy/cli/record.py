"""`scribe-proxy record`: play scenarios against a live service, and write its answers as recordings."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import click

from proxy.cli.played_service import PlayedService, progress_bar, service_options
from proxy.cli.recordings_target import recordings_target
from proxy.cli.unusable import UNUSABLE
from proxy.inference.editing import write_whole
from proxy.recordings import model
from proxy.recordings.model import RecordingError, Recordings
from proxy.recordings.recorder import OnStep, Recorder, Script, encode_recordings, read_scripts
from proxy.recordings.service_client import ServiceUnreachable
from proxy.recordings.side_effects import SideEffectsError
from proxy.types import JSON
from proxy.wording import counted


@dataclass
class Harvest:
    """Scenarios recorded so far; an interruption writes them to a partial file."""

    entries: list[JSON] = field(default_factory=list)


@click.command()
@click.argument("scenarios", type=click.Path(path_type=Path, exists=True))
@service_options(
    base_url="The service to record.",
    mongodb_url="The service's MongoDB. Documents that a scenario leaves are recorded; it is EMPTIED before each.",
)
@recordings_target
@click.option("--only", multiple=True, metavar="PATTERN", help="Only scenarios that match a glob, as in `verify`.")
def record(scenarios: Path, service: PlayedService, target: Path, only: tuple[str, ...]) -> None:
    """Play SCENARIOS against a service and write its answers as recordings.

    SCENARIOS is a file like http.json, with or without answers, or a directory that holds one. In a request,
    {{login:/token}} is replaced by a part of the JSON answer of the earlier step `login`. Exits with 2 if the service,
    its database or its calls cannot be used; the answers so far are then written to http.json.partial.
    """
    try:
        scripts = _chosen(read_scripts(scenarios), only)
    except RecordingError as error:
        raise click.UsageError(str(error)) from error
    harvest = Harvest()
    try:
        with progress_bar(sum(len(script.scenario.steps) for script in scripts)) as notice:
            asyncio.run(_record(service, scripts, harvest, notice))
        write_whole(target, encode_recordings(harvest.entries))
    except (ServiceUnreachable, SideEffectsError, RecordingError, ValueError, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        _write_partial(target, harvest)
        raise click.exceptions.Exit(UNUSABLE) from error
    except KeyboardInterrupt:
        _write_partial(target, harvest)
        raise
    _print_summary(target, scenarios, scripts)


async def _record(service: PlayedService, scripts: list[Script], harvest: Harvest, notice: OnStep) -> None:
    async with service.side_effects() as (documents, calls):
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
        click.echo(f"{partial} has {counted(len(harvest.entries), 'complete scenario')}", err=True)


def _print_summary(target: Path, scenarios: Path, scripts: list[Script]) -> None:
    steps = sum(len(script.scenario.steps) for script in scripts)
    click.echo(f"{target}: {counted(len(scripts), 'scenario')}, {counted(steps, 'request')}")
    if scenarios.is_dir() and (scenarios / "ws.json").exists():
        click.echo("the conversations in ws.json were not played: only HTTP is recorded", err=True)
