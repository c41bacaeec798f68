"""`scribe-proxy plan`: show the callers that a changed routing.yaml will move."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click
from rich import box
from rich.table import Table
from rich.text import Text

from proxy.cli.config_file import opened
from proxy.cli.console import console
from proxy.cli.shared_options import ROUTING_FILE
from proxy.config.diff import RouteChange, SettingChange, route_changes, setting_changes
from proxy.config.field_types import show_share

MOVES: Final = 2
"""Exit code if callers move, so that a pipeline can stop."""
_SHARES: Final = ("before", "after", "to_native", "to_legacy")


@click.command()
@click.argument("old", type=ROUTING_FILE)
@click.argument("new", type=ROUTING_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; shares in percent.")
def plan(old: Path, new: Path, *, as_json: bool) -> None:
    """Show how many callers a changed routing.yaml moves.

    For each route that changes, prints native's share before and after, and the share of callers that move to native
    or back to legacy. These are exact unless the change gives callers new buckets; then they are expectations, marked
    with ≈. SCRIBE_PROXY_PIN is ignored. Sections that no share depends on are compared if all of their variables are
    set. Exits with 2 if callers move or targets differ, otherwise with 0.

    \b
    Examples:
      scribe-proxy plan routing.yaml new.yaml
      git show HEAD:routing.yaml >old.yaml && scribe-proxy plan old.yaml routing.yaml --json
    """
    before, after = opened(old, pinned=False), opened(new, pinned=False)
    routes = route_changes(before, after)
    settings = setting_changes(before, after)
    unset = sorted(before.unset | after.unset)
    if unset:
        click.echo(f"Not compared, because a variable of the environment is not set: {', '.join(unset)}", err=True)
    if as_json:
        changes = {
            "routes": [_in_percent(each) for each in routes],
            "settings": [asdict(each) for each in settings],
            "not_compared": unset,
        }
        click.echo(json.dumps(changes, indent=2))
    else:
        _print(routes, settings)
    if any(change.moves_callers for change in routes):
        raise click.exceptions.Exit(MOVES)


def _in_percent(change: RouteChange) -> dict[str, object]:
    return asdict(change) | {name: getattr(change, name) / 100 for name in _SHARES}


def _print(routes: tuple[RouteChange, ...], settings: tuple[SettingChange, ...]) -> None:
    out = console()
    if routes:
        out.print(_table(routes))
    for setting in settings:
        out.print(Text(f"{setting.key}: {setting.before} → {setting.after}"))
    for reason in sorted({change.redrawn for change in routes if change.redrawn}):
        message = f"New buckets are drawn ({reason} changed): callers of both backends are reassigned."
        out.print(Text(message, style="yellow"))
    moved = sum(change.moves_callers for change in routes)
    verb = "moves" if moved == 1 else "move"
    out.print(f"Routes changed: {len(routes)}, of which {moved} {verb} callers." if routes else "No route changes.")


def _table(routes: tuple[RouteChange, ...]) -> Table:
    table = Table(box=box.SIMPLE)
    for heading in ("route", "matches", "native share", "to native", "to legacy", "notes"):
        table.add_column(heading, justify="right" if heading.startswith("to ") else "left", overflow="fold")
    for change in routes:
        table.add_row(*map(Text, _row(change)))
    return table


def _row(change: RouteChange) -> tuple[str, ...]:
    sign = {"added": "+ ", "removed": "- ", "changed": ""}[change.kind]
    about = "≈" if change.redrawn else ""
    shares = f"{show_share(change.before)} → {show_share(change.after)}"
    moving = (f"{about}{show_share(moved)}" if moved else "-" for moved in (change.to_native, change.to_legacy))
    return (sign + change.name, change.match, shares, *moving, "; ".join(change.notes))
