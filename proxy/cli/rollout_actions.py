"""`scribe-proxy promote`, `pause`, `resume`, `rollback`, `ack`: actions on a rollout, recorded with actor and reason.

The commands write to the MongoDB that replicas share. No gateway has to be reachable, and every replica follows within
two seconds. Route, revision and stages are read from routing.yaml, which should be the file in force.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click

from proxy.cli.completion import complete_routes_and_groups
from proxy.cli.config_file import show_problems
from proxy.cli.option_group import Decorator, Function
from proxy.cli.param_types import ShareParam
from proxy.cli.shared_options import actor_option, config_option
from proxy.cli.unusable import Unusable
from proxy.config.field_types import show_duration, show_share
from proxy.config.loading import load
from proxy.config.models import Config, Route
from proxy.config.problems import ConfigError
from proxy.config.reading import SHARE_SECTIONS
from proxy.database.database import Database, DatabaseError, InvalidDatabaseUrl, InvalidDriver, Unavailable
from proxy.rollout import actions
from proxy.rollout.actions import Step, carry_out
from proxy.rollout.groups import RouteGroups
from proxy.rollout.model import LABELS, RouteState, state_key
from proxy.rollout.mongo import MongoStore
from proxy.rollout.transitions import Refused
from proxy.types import BasisPoints


def _with_route(command: Function) -> Function:
    """Add the route and the common options to a command."""
    return click.argument("route", metavar="ROUTE_OR_GROUP", shell_complete=complete_routes_and_groups)(
        _with_options(command)
    )


def _with_options(command: Function) -> Function:
    """Add the reason, the actor and the routing file to a command."""
    options: tuple[Decorator, ...] = (
        click.option("--why", "reason", required=True, help="The reason, for the history."),
        actor_option(),
        config_option(),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.option("--to", "stage", type=ShareParam(), help="The next stage, as you know it; it is not promoted to another.")
@_with_route
def promote(route: str, reason: str, actor: str, file: Path, stage: BasisPoints | None) -> None:
    """Promote a rollout to its next stage now, whatever its gates report.

    With `approve: true`, it also approves the next stage. A rollout that was promoted in the last ten seconds, maybe by
    somebody else, is promoted with --to only.
    """
    _carry_out(file, route, actions.promotion(stage), actor, reason)


@click.command()
@_with_route
def pause(route: str, reason: str, actor: str, file: Path) -> None:
    """Pause a rollout at its current stage.

    Native keeps the share in force, and its guard stays active; only promotions stop, until `resume`.
    """
    _carry_out(file, route, actions.pause, actor, reason)


@click.command()
@_with_route
def resume(route: str, reason: str, actor: str, file: Path) -> None:
    """Resume a paused rollout."""
    _carry_out(file, route, actions.resume, actor, reason)


@click.command()
@click.argument("route", metavar="[ROUTE_OR_GROUP]", required=False, shell_complete=complete_routes_and_groups)
@click.option("--all", "everything", is_flag=True, help="Roll back all groups and all routes without one.")
@click.option("--to", "share", type=ShareParam(), default="0%", show_default=True, help="Native's share afterwards.")
@_with_options
def rollback(route: str | None, reason: str, actor: str, file: Path, share: BasisPoints, *, everything: bool) -> None:
    """Roll a route or group back to legacy now, until `ack`.

    Works with a rollout and without. With --all, groups that are not above the share stay as they are.
    """
    if (route is not None) == everything:
        raise click.UsageError("give either ROUTE_OR_GROUP or --all")
    step = actions.rollback(share)
    if route is not None:
        _carry_out(file, route, step, actor, reason, _instead(file))
    else:
        _roll_back_all(file, step, actor, reason)


@click.command()
@click.option("--now", "at_once", is_flag=True, help="Remove the cap before its cooldown has passed.")
@_with_route
def ack(route: str, reason: str, actor: str, file: Path, *, at_once: bool) -> None:
    """Acknowledge a cap or lift a rollback, so that the share may rise again.

    The guard's cap is removed after its cooldown, a person's rollback immediately. A rollout continues at the highest
    stage that the cap allowed, or at its first.
    """
    _carry_out(file, route, actions.ack(at_once=at_once), actor, reason)


def _roll_back_all(file: Path, step: Step, actor: str, reason: str) -> None:
    config = _in_force(file)

    async def roll_back_all() -> None:
        groups = RouteGroups(config.routes)
        async with _store(config) as store:
            for leader in groups.leaders():
                try:
                    state = await carry_out(store, groups.members(state_key(leader)), step, actor, reason)
                except Refused as refusal:
                    click.echo(f"{leader.domain}: unchanged: {refusal}")
                else:
                    click.echo(_describe(leader, state))

    _run(roll_back_all(), file, _instead(file))


def _instead(file: Path) -> str:
    """Return what to do without MongoDB."""
    return f". Until then `pin: legacy` in {file} keeps a route at legacy"


def _carry_out(file: Path, name: str, step: Step, actor: str, reason: str, instead: str = "") -> None:
    config = _in_force(file)
    members = _named(config, name, file)

    async def apply() -> None:
        async with _store(config) as store:
            click.echo(_describe(members[0], await carry_out(store, members, step, actor, reason)))

    _run(apply(), file, instead)


def _in_force(file: Path) -> Config:
    """Return the configuration of a file; for a refused file the last good version, as a gateway does.

    The shell may lack the gateway's variables, as far as neither routes nor the MongoDB depend on them.
    """
    try:
        return load(file, os.environ, needed=SHARE_SECTIONS)
    except ConfigError as error:
        config = _last_good(file)
        if config is None:
            show_problems(error)
            raise click.exceptions.Exit(1) from None
        click.echo(f"{file} is refused: revision {config.revision}, the last good one here, is used", err=True)
        return config


def _last_good(file: Path) -> Config | None:
    from proxy.runtime.last_good import LastGood, default_state_directory, load_config  # needed only for a refused file

    given = os.environ.get("SCRIBE_PROXY_STATE_DIR")
    directory = Path(given) if given else default_state_directory(os.environ)
    if directory is None:
        return None
    try:
        return load_config(file, os.environ, LastGood(directory, file), needed=SHARE_SECTIONS).config
    except ConfigError:
        return None


def _run(action: Coroutine[Any, Any, None], file: Path, instead: str) -> None:
    """Run an action; `instead` is added to the message if MongoDB cannot be reached."""
    source = f"mongodb.url of {file}, by default MONGODB_URL"
    try:
        asyncio.run(action)
    except Unavailable as error:
        raise Unusable(f"{error}; its URL is {source}{instead}") from None
    except InvalidDriver as error:
        raise Unusable(str(error)) from None
    except InvalidDatabaseUrl as error:
        raise Unusable(f"{error}; it is from {source}") from None
    except (Refused, DatabaseError) as error:
        raise click.ClickException(str(error)) from None


@asynccontextmanager
async def _store(config: Config) -> AsyncIterator[MongoStore]:
    database = Database.of(config.mongodb)
    if database is None:
        raise Refused("no mongodb.url, no MONGODB_URL: each gateway has its own shares; its ops page changes them")
    try:
        yield MongoStore(database)
    finally:
        await database.close()


def _named(config: Config, name: str, file: Path) -> Sequence[Route]:
    """Return the routes of a group, which is given by its name or by the name of any of its routes."""
    groups = RouteGroups(config.routes)
    route = groups.find(name)
    if route is None:
        raise Unusable(f"{file} has {groups.missing(name)}")
    return groups.members(state_key(route))


def _describe(route: Route, state: RouteState) -> str:
    change = state.change
    if change.kind == "ack" and state.cap is not None:
        left = show_duration(float(max(1, round(state.cap.until - change.by.at))))
        return f"{route.domain}: acknowledged; stays at {show_share(change.after)} until it has cooled down, for {left}"
    text = f"{route.domain}: {LABELS[change.kind]}, {change.movement}"
    if change.kind == "pause":
        return f"{text}; native keeps that share until `resume`, unless the guard caps it"
    return f"{text}; the rollout is paused" if state.paused else text
