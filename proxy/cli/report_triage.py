"""`scribe-proxy report triage`: list differences by state, or set the state of one."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, cast

import click
from rich import box
from rich.table import Table
from rich.text import Text

from proxy.cli.completion import complete_routes
from proxy.cli.console import console
from proxy.cli.database_options import DatabaseOptions, DatabaseTarget, database_options, run_query
from proxy.cli.shared_options import actor_option, since_option
from proxy.database.database import Conflict, Database
from proxy.reports.models import Span
from proxy.reports.registry import DifferenceRegistry, UnknownDifference
from proxy.reports.triage import MARKS, InvalidMark, Mark, State, TrackedDifference, by_attention

_STYLES = {"returned": "bold red", "new": "yellow", "fixed": "green", "known": ""}


@click.command()
@database_options
@click.argument("identity", required=False, metavar="[ID]")
@click.argument("state", required=False, type=click.Choice(MARKS))
@click.option("--why", "reason", default="", help="The reason; required for `known`.")
@click.option("--ticket", default="", help="A ticket, as in QA-7.")
@click.option("--in", "revision", metavar="REVISION", help="The revision of native in which it is fixed.")
@actor_option()
@click.option("--route", metavar="NAME", shell_complete=complete_routes, help="List the differences of one route.")
@since_option("30d", "List differences observed since then.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def triage(
    database: DatabaseOptions,
    identity: str | None,
    state: str | None,
    reason: str,
    ticket: str,
    revision: str | None,
    actor: str,
    route: str | None,
    since: float,
    as_json: bool,
) -> None:
    """List differences by state, or set the state of one.

    Without an ID, it lists all differences, returned and new ones first. With an ID and a state, it sets the state.
    Ops pages, the webhook and JUnit files show the same ids.
    """
    if state == "known" and not reason.strip():
        raise click.UsageError("a known difference needs a reason: --why TEXT")
    target = database.resolve()
    if identity is None:
        listed = _find_all(target, Span(since, time.time() + 1), route)
    elif state is None:
        listed = [_find(target, identity)]
    else:
        given = Mark("new", time.time(), actor, reason.strip(), ticket.strip(), revision)
        listed = [run_query(target, _marking(identity, cast("State", state), given))]
    _print(listed, as_json=as_json)
    if identity is not None and any(one.state == "fixed" and None in one.revisions for one in listed):
        click.echo(_WITHOUT_REVISION, err=True)


_WITHOUT_REVISION: Final = (
    "! native ran without a revision (`revision` of the route, or IMAGE_REVISION): without one, the release that runs"
    " at present and a later one look the same, and the next observation counts as returned"
)


def _find_all(target: DatabaseTarget, span: Span, route: str | None) -> list[TrackedDifference]:
    stored = run_query(target, lambda db: DifferenceRegistry(db).find_all(span, route))
    return by_attention(stored.values())


def _find(target: DatabaseTarget, identity: str) -> TrackedDifference:
    stored = run_query(target, lambda db: DifferenceRegistry(db).find(identity))
    if stored is None:
        raise click.UsageError(f"no difference has the id {identity}")
    return stored


def _marking(identity: str, state: State, given: Mark) -> Callable[[Database], Awaitable[TrackedDifference]]:
    async def mark(database: Database) -> TrackedDifference:
        try:
            return await DifferenceRegistry(database).mark(identity, state, given)
        except UnknownDifference:
            raise click.UsageError(f"no difference has the id {identity}") from None
        except (InvalidMark, Conflict) as error:
            raise click.UsageError(str(error)) from None

    return mark


def _print(differences: list[TrackedDifference], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_described(one) for one in differences], indent=2, ensure_ascii=False))
    elif not differences:
        click.echo("no difference was observed")
    else:
        console().print(triage_table(differences))


def _described(difference: TrackedDifference) -> dict[str, Any]:
    mark = difference.mark
    return {
        "id": difference.id,
        "route": difference.route,
        "field": difference.field,
        "kind": difference.kind,
        "state": difference.state,
        "first": difference.first,
        "last": difference.last,
        "revisions": list(difference.revisions),
        "mark": {name: getattr(mark, name) for name in ("at", "actor", "reason", "ticket", "revision")},
        "version": difference.version,
    }


def triage_table(differences: list[TrackedDifference]) -> Table:
    """Return a table of differences with their ids and states."""
    table = Table(box=box.SIMPLE, header_style="bold", pad_edge=False)
    for name in ("id", "state", "route", "field", "kind", "by", "last"):
        table.add_column(name, overflow="fold", no_wrap=name in ("id", "state", "last"))
    for one in differences:
        table.add_row(
            one.id,
            Text(one.state, style=_STYLES[one.state]),
            Text(one.route),
            Text(one.field, style="bold"),
            one.kind,
            Text(_remarks(one)),
            datetime.fromtimestamp(one.last, UTC).strftime("%Y-%m-%d %H:%M:%SZ"),
        )
    return table


def _remarks(difference: TrackedDifference) -> str:
    """Return who set the state, and why; for a returned difference also who had marked it as fixed."""
    if difference.state == "returned" and difference.history:
        return f"fixed by {_remark(difference.history[-1])}; observed {_remark(difference.mark)}"
    return _remark(difference.mark)


def _remark(mark: Mark) -> str:
    return ", ".join(
        filter(None, (mark.actor, mark.ticket, f"in {mark.revision}" if mark.revision else "", mark.reason))
    )
