"""`scribe-proxy history`: show changes of shares and of the configuration, with actor and reason."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, get_args

import click
from rich import box
from rich.table import Table
from rich.text import Text

from proxy.cli.completion import complete_routes_and_groups
from proxy.cli.console import console
from proxy.cli.ops_client import OpsClient, OpsResponse, fetch, ops_client, ops_url_option, read
from proxy.cli.unusable import Unusable
from proxy.ops.formatting import ago, clock, percent
from proxy.ops.rollout_views import ChangeView
from proxy.rollout.model import LABELS, Kind

_STYLES: Final = {"cap": "red", "rollback": "red", "gate": "yellow", "pause": "yellow", "promotion": "green"}


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """The parts of the history's JSON that are shown."""

    changes: tuple[ChangeView, ...]
    older: str
    unknown: str = ""


@click.command()
@click.argument("route", metavar="[ROUTE_OR_GROUP]", required=False, shell_complete=complete_routes_and_groups)
@ops_url_option
@click.option("--kind", type=click.Choice(get_args(Kind)), help="Only changes of this kind.")
@click.option("--who", "actor", help="Only changes by this actor.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="Number of changes.")
@click.option("--diff", "differences", is_flag=True, help="Print the difference of each revision of routing.yaml.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; shares in percent.")
def history(
    ops_url: str,
    route: str | None,
    kind: str | None,
    actor: str | None,
    limit: int,
    *,
    differences: bool,
    as_json: bool,
) -> None:
    """Show changes of shares and of the configuration, newest first.

    Times are in UTC.
    """
    given = {"route": route, "kind": kind, "actor": actor, "limit": str(limit)}
    with ops_client(ops_url) as client:
        answer = fetch(client, "/history.json", {name: value for name, value in given.items() if value})
        page = _page(client, answer)
    if as_json:
        click.echo(answer.text)
        return
    if not page.changes:
        click.echo("No changes.")
        return
    console().print(table_of(page.changes, time.time()))
    if differences:
        for change in page.changes:
            if change.difference:
                click.echo(f"revision {change.revision}, {clock(change.by.at)}\n{change.difference}\n")


def _page(client: OpsClient, answer: OpsResponse) -> HistoryPage:
    """Return the history. Raises `Unusable` if no route or group has the name."""
    page = read(client, answer, HistoryPage)
    if page.unknown:
        raise Unusable(page.unknown)
    return page


def table_of(changes: Sequence[ChangeView], now: float) -> Table:
    """Return changes as a table."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("time", "", "change", "route or group", "share", "by", "reason"):
        table.add_column(heading, overflow="fold")
    for change in changes:
        share = percent(change.before, 100)
        if change.before != change.after:
            share += f" → {percent(change.after, 100)}"
        label = Text(LABELS[change.kind], style=_STYLES.get(change.kind, ""))
        shown = "" if change.kind == "config" else share
        cells = (change.where, shown, change.by.actor, change.by.reason)
        table.add_row(Text(clock(change.by.at)), Text(ago(change.by.at, now), style="dim"), label, *map(Text, cells))
    return table
