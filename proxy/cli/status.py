"""`scribe-proxy status`: show the migration board, or one route of it, in a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import click
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from proxy.cli.completion import complete_routes_and_groups
from proxy.cli.console import console
from proxy.cli.history import table_of
from proxy.cli.ops_client import OpsClient, fetch, ops_client, ops_url_option, read
from proxy.ops.board.alerts import Alert
from proxy.ops.board.lines import GroupLine
from proxy.ops.board.migration import Migration
from proxy.ops.formatting import day, duration, latency, number, percent
from proxy.ops.rollout_views import WAITS, ChangeView
from proxy.ops.route_now import BackendNow, RouteNow
from proxy.wording import counted

NARROW: Final = 100
"""Columns below which a group is shown as lines instead of a row."""
PERIOD: Final = 2.0
"""Seconds between two requests with `--watch`."""
_COLOURS: Final = {"bad": "red", "warn": "yellow", "": "", "pass": "green", "fail": "red", "unknown": "dim"}
_FIGURES: Final = ("req/s", "errors", "5xx", "p50", "p95", "p99")


@dataclass(frozen=True, slots=True)
class BoardSummary:
    """The parts of the board's JSON that are shown."""

    revision: str
    legacy: str
    native: str
    migration: Migration
    alerts: tuple[Alert, ...]
    groups: tuple[GroupLine, ...]
    shared: bool


@dataclass(frozen=True, slots=True)
class RoutePage:
    """The parts of a route's JSON that are shown."""

    route: RouteNow
    group: tuple[str, ...]
    changes: tuple[ChangeView, ...]


@click.command()
@click.argument("route", metavar="[ROUTE_OR_GROUP]", required=False, shell_complete=complete_routes_and_groups)
@ops_url_option
@click.option("--failing", is_flag=True, help="Show only problems; exit with 1 if there are any.")
@click.option("--watch", is_flag=True, help="Refresh every two seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; shares in percent, durations in seconds.")
def status(ops_url: str, route: str | None, *, failing: bool, watch: bool, as_json: bool) -> None:
    """Show how far the migration is, its problems, and the next step of each group.

    With a route or group: its share, rollout and guard, both backends, and its latest changes.
    """
    with ops_client(ops_url) as client:
        if as_json:
            click.echo(fetch(client, f"/routes/{route}/live.json" if route else "/index.json").text)
        elif watch:
            refresh(client, route, failing=failing)
        else:
            problems, shown = _shown(client, route, failing=failing)
            console().print(shown)
            sys.exit(1 if failing and problems else 0)


def refresh(
    client: OpsClient, route: str | None, *, failing: bool, pause: Callable[[float], None] = time.sleep
) -> None:
    """Print the board or a route repeatedly until an interrupt; `pause` waits for a number of seconds."""
    out = console()
    while True:
        try:
            _, shown = _shown(client, route, failing=failing)
        except click.ClickException as error:  # the gateway may return
            shown = Text(error.message, style="red")
        out.clear()
        out.print(shown)
        pause(PERIOD)


def _shown(client: OpsClient, route: str | None, *, failing: bool) -> tuple[int, RenderableType]:
    """Return the number of problems, and the text."""
    if route is not None:
        return _shown_route(client, route)
    board = read(client, fetch(client, "/index.json"), BoardSummary)
    groups = [line for line in board.groups if line.severity or not failing]
    shown = listed(groups, console().width)
    if not groups and not board.alerts:
        shown = (Text("\nno problems", style="green"),)
    return len(board.alerts), Group(*_head(board), *_alerts(board.alerts), *shown)


def _shown_route(client: OpsClient, name: str) -> tuple[int, RenderableType]:
    """Return 1 if a route or group is capped, and the text; for a group with the numbers of each route."""
    live = _page(client, name)
    others = [member for member in live.group if member != live.route.name] if name != live.route.name else []
    members = [live.route, *(_page(client, member).route for member in others)]
    changes = table_of(live.changes[:5], time.time()) if live.changes else Text("no changes yet", style="dim")
    title = f"{name} · {len(members)} routes with one share" if others else _title_of(live.route, live.group)
    return int(live.route.cap is not None), Group(Text(title, style="bold"), *_route(members), changes)


def _page(client: OpsClient, route: str) -> RoutePage:
    return read(client, fetch(client, f"/routes/{route}/live.json"), RoutePage)


def _title_of(route: RouteNow, group: Sequence[str]) -> str:
    others = f" · one share with {', '.join(name for name in group if name != route.name)}" if len(group) > 1 else ""
    return f"{route.name} · {route.match}{others}"


def _head(board: BoardSummary) -> Iterator[Text]:
    migration = board.migration
    traffic = f"{percent(migration.traffic, 100)} of traffic" if migration.traffic is not None else "no traffic yet"
    end = f" · earliest end {day(migration.ends)}" if migration.ends else ""
    groups = counted(migration.unplanned, "group")
    unplanned = f" · {groups} without a rollout to 100%" if migration.unplanned else ""
    routes = f"{migration.routes} of {migration.all_routes} routes"
    yield Text(f"native: {traffic} · {routes}{end}{unplanned}", style="bold")
    yield Text(f"revision {board.revision} · legacy {board.legacy} · native {board.native}", style="dim")
    if not board.shared:
        yield Text("no MongoDB: shares belong to this gateway only, and a restart resets them", style="yellow")


def _alerts(alerts: tuple[Alert, ...]) -> Iterator[Text]:
    for alert in alerts:
        text = Text("\n").append(alert.title, style=f"bold {_COLOURS[alert.severity]}")
        yield text.append(f"  {alert.detail}").append(f"\n  → {alert.action}", style="dim")


def listed(lines: Sequence[GroupLine], width: int) -> tuple[RenderableType, ...]:
    """Return the groups as a table, or as paragraphs if a terminal of `width` columns is too narrow."""
    if not lines:
        return ()
    return (_table(lines),) if width >= NARROW else tuple(map(_paragraph, lines))


def _table(lines: Sequence[GroupLine]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("group", "state", "share", "next", "blocked by, evidence needed"):
        table.add_column(heading, justify="right" if heading == "share" else "left", overflow="fold")
    for line in lines:
        cells = (_title(line), line.state, percent(line.share, 100), _next(line), _blocked(line))
        table.add_row(*map(Text, cells), style=_COLOURS[line.severity])
    return table


def _paragraph(line: GroupLine) -> Text:
    text = Text(f"\n{_title(line)}", style="bold").append(
        f" · {line.state} · {percent(line.share, 100)}", style="not bold"
    )
    following = f"next: {_next(line)}" if line.step.action else ""
    for more in filter(None, (following, _blocked(line))):
        text.append(f"\n  {more}", style="not bold dim")
    text.stylize(_COLOURS[line.severity])
    return text


def _title(line: GroupLine) -> str:
    return line.name if len(line.routes) == 1 else f"{line.name} ({len(line.routes)})"


def _next(line: GroupLine) -> str:
    left = line.step.left
    return f"{line.step.action}{f' in {duration(left)}' if left else ' now' if left == 0 else ''}"


def _blocked(line: GroupLine) -> str:
    return "; ".join(filter(None, (line.step.blocked, ", ".join(map(str, line.step.needed)))))


def _route(members: Sequence[RouteNow]) -> Iterator[RenderableType]:
    route = members[0]
    style = "red" if route.by == "cap" else ""
    yield Text(f"native {percent(route.effective, 100)} of {percent(route.file, 100)}: {route.reason}", style=style)
    if route.progress is not None:
        following = route.progress.following
        then = f" → {percent(following, 100)}" if following is not None else ""
        left = f" in {duration(route.progress.left)}" if route.progress.left else ""
        waits = f" ({WAITS[route.progress.waits]})"
        yield Text(f"rollout {percent(route.progress.stage, 100)}{then}{left}{waits}")
    yield from _guards(members)
    yield _backends(members)


def _guards(members: Sequence[RouteNow]) -> Iterator[Text]:
    """Yield a line for the guards of equal outcome, with the names of their routes if outcomes differ."""
    by_text: dict[tuple[str, str], list[str]] = {}
    for one in members:
        if one.guard is not None:
            text = ": ".join(filter(None, (one.guard.summary, one.guard.reason)))
            by_text.setdefault((text, one.guard.outcome), []).append(one.name)
    for (text, outcome), names in by_text.items():
        of = f" of {', '.join(names)}" if len(names) < len(members) else ""
        yield Text(f"guard{of} {text}", style=_COLOURS[outcome])


def _backends(members: Sequence[RouteNow]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in (f"last {duration(members[0].window)}", "requests", *_FIGURES):
        table.add_column(heading, justify="left" if heading.startswith("last") else "right", overflow="fold")
    for one in members:
        for name, backend in (("native", one.native), ("legacy", one.legacy)):
            title = f"{one.name} {name}" if len(members) > 1 else name
            table.add_row(title, number(backend.requests), *_figures(backend), style="" if backend.requests else "dim")
    return table


def _figures(backend: BackendNow) -> tuple[str, ...]:
    return (
        number(backend.rate),
        percent(backend.errors, backend.requests),
        percent(backend.server_errors, backend.requests),
        *map(latency, (backend.p50, backend.p95, backend.p99)),
    )
