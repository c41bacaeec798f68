"""`scribe-proxy schedule`: print the earliest time of each rollout stage. Works offline."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import click
from rich import box
from rich.table import Table
from rich.text import Text

from proxy.cli.completion import complete_routes
from proxy.cli.config_file import opened
from proxy.cli.console import console
from proxy.cli.shared_options import ROUTING_FILE
from proxy.config.field_types import show_duration, show_share
from proxy.config.models import Config, Route
from proxy.rollout.groups import RouteGroups
from proxy.rollout.progress import timetable
from proxy.types import BasisPoints
from proxy.wording import did_you_mean


@click.command()
@click.argument("file", type=ROUTING_FILE, default=Path("routing.yaml"))
@click.option("--route", "name", help="Only this route.", shell_complete=complete_routes)
@click.option(
    "--from",
    "start",
    type=click.DateTime(),
    metavar="TIME",
    help="Start of the rollouts in local time, as in 2026-12-01 or 2026-12-01T09:00:00; default now.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; shares in percent.")
def schedule(file: Path, name: str | None, start: datetime | None, *, as_json: bool) -> None:
    """Print when each stage of each rollout is reached at the earliest.

    Assumes that every gate passes for the whole bake time, within the window, and that nobody pauses a rollout.

    \b
    Examples:
      scribe-proxy schedule
      scribe-proxy schedule routing.yaml --route prompts.list --from 2026-12-01
    """
    begin = start.timestamp() if start is not None else time.time()
    config = opened(file)
    routes = _chosen(config, name)
    rows = list(_rows(routes if as_json or name else RouteGroups(routes).leaders(), begin))
    if as_json:
        stages = [{"route": route.name, "stage": share / 100, "at": _iso(at)} for route, share, at in rows]
        click.echo(json.dumps(stages, indent=2))
    elif rows:
        console().print(_table(rows, Counter(route.domain for route in routes)))
    else:
        click.echo("No route has a rollout.")


def _chosen(config: Config, name: str | None) -> list[Route]:
    routes = [route for route in config.routes if name in (None, route.name)]
    if name is not None and not routes:
        raise click.ClickException(f"there is no route {name}{did_you_mean(name, [one.name for one in config.routes])}")
    return routes


def _rows(routes: list[Route], start: float) -> Iterator[tuple[Route, BasisPoints, float]]:
    for route in routes:
        if route.rollout is not None:
            yield from ((route, share, at) for share, at in timetable(route.rollout, start))


def _table(rows: list[tuple[Route, BasisPoints, float]], sizes: Mapping[str, int]) -> Table:
    """Return a table of stages. A group has one rollout, and `sizes` its number of routes."""
    table = Table(box=box.SIMPLE)
    for heading in ("route or group", "stage", "at the earliest", "notes"):
        table.add_column(heading, justify="right" if heading == "stage" else "left", overflow="fold")
    named = ""
    for route, share, at in rows:
        first = route.name != named
        named = route.name
        title = f"{route.domain} ({size})" if (size := sizes[route.domain]) > 1 else named
        table.add_row(*map(Text, (title if first else "", show_share(share), _shown(at), _notes(route, share, first))))
    return table


def _notes(route: Route, share: BasisPoints, first: bool) -> str:
    assert route.rollout is not None
    if share > route.native:
        return f"`native` limits it to {show_share(route.native)}"
    bake_time = route.rollout.bake_time_of(share)
    notes = []
    if not first and route.rollout.approve:
        notes.append("waits for `scribe-proxy promote`")
    if first or (bake_time != route.rollout.bake_time and share != route.rollout.stages[-1]):
        notes.append(f"bake time {show_duration(bake_time)}")
    return ", ".join(notes)


def _shown(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%a %d %b %Y %H:%M}"


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")
