"""`scribe-proxy promote`, `pause`, `resume`, `rollback`, `ack`: actions on a rollout, recorded with actor and reason.

The commands write to the MongoDB that replicas share: no gateway has to be reachable, and every replica follows within
two seconds. Route, revision and stages are read from routing.yaml, which should be the file in force.
"""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from proxy.cli.config_file import ROUTING_FILE, opened
from proxy.cli.param_types import ShareParam
from proxy.config.field_types import FULL, show_duration, show_share
from proxy.config.models import Config, Route
from proxy.rollout import actions
from proxy.rollout.actions import Step, carry_out
from proxy.rollout.groups import RouteGroups
from proxy.rollout.model import RouteState, state_key
from proxy.rollout.mongo import MongoStore
from proxy.rollout.transitions import Refused
from proxy.runtime.database import Database, DatabaseError

Command = TypeVar("Command", bound=Callable[..., Any])


def _user() -> str:
    return os.environ.get("USER", "")


def _with_options(command: Command) -> Command:
    """Add the route, the reason, the actor and the routing file to a command."""
    options = (
        click.argument("route", metavar="ROUTE_OR_GROUP"),
        click.option("--why", "reason", required=True, help="The reason, for the history."),
        click.option("--who", "actor", default=_user, show_default="$USER", help="Who you are."),
        click.option(
            "--config", "file", type=ROUTING_FILE, default=Path("routing.yaml"), show_default=True, metavar="FILE"
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@_with_options
def promote(route: str, reason: str, actor: str, file: Path) -> None:
    """Promote a rollout to its next stage now, whatever its gates report.

    It is also how to agree to the next stage where `approve: true`.
    """
    _carry_out(file, route, actions.promote, actor, reason)


@click.command()
@_with_options
def pause(route: str, reason: str, actor: str, file: Path) -> None:
    """Pause a rollout at its current stage.

    Its guard stays active; `resume` continues the rollout.
    """
    _carry_out(file, route, actions.pause, actor, reason)


@click.command()
@_with_options
def resume(route: str, reason: str, actor: str, file: Path) -> None:
    """Resume a paused rollout."""
    _carry_out(file, route, actions.resume, actor, reason)


@click.command()
@click.option("--to", "share", type=ShareParam(), default="0%", show_default=True, help="What is left to native.")
@_with_options
def rollback(route: str, reason: str, actor: str, file: Path, share: float) -> None:
    """Roll a route back to legacy now, until `ack`.

    Works on every route, with a rollout or without.
    """
    _carry_out(file, route, actions.rollback(round(share * FULL)), actor, reason)


@click.command()
@click.option("--now", "at_once", is_flag=True, help="Do not wait until it has cooled down.")
@_with_options
def ack(route: str, reason: str, actor: str, file: Path, *, at_once: bool) -> None:
    """Acknowledge a cap or a rollback, so that the share may rise again.

    A rollout goes on from the stage that it fell to.
    """
    _carry_out(file, route, actions.ack(at_once=at_once), actor, reason)


def _carry_out(file: Path, name: str, step: Step, actor: str, reason: str) -> None:
    config = opened(file)
    members = _named(config, name, file)
    try:
        state = asyncio.run(_apply(config, members, step, actor, reason))
    except (Refused, DatabaseError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(_describe(members[0], state))


async def _apply(config: Config, members: Sequence[Route], step: Step, actor: str, reason: str) -> RouteState:
    database = Database.of(config.mongodb)
    if database is None:
        raise Refused("no mongodb.url, no MONGODB_URL: each gateway keeps shares for itself; its ops page changes them")
    try:
        return await carry_out(MongoStore(database), members, step, actor, reason)
    finally:
        await database.close()


def _named(config: Config, name: str, file: Path) -> Sequence[Route]:
    """Return the routes of a group by its name, or by the name of any of its routes."""
    groups = RouteGroups(config.routes)
    route = groups.find(name)
    if route is None:
        known = dict.fromkeys(name for route in config.routes for name in (route.name, route.domain))
        close = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise click.ClickException(f"{file} has no route or group {name}{hint}")
    return groups.members(state_key(route))


def _describe(route: Route, state: RouteState) -> str:
    change = state.change
    if change.kind == "ack" and state.cap is not None:
        left = show_duration(float(max(1, round(state.cap.until - change.by.at))))
        return f"{route.domain}: acknowledged; stays at {show_share(change.after)} until it has cooled down, for {left}"
    if change.before == change.after:
        return f"{route.domain}: {change.kind}, at {show_share(change.after)}"
    return f"{route.domain}: {change.kind}, from {show_share(change.before)} to {show_share(change.after)}"
