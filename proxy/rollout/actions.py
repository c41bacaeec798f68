"""Actions of a person on a route's share: `promote`, `pause`, `resume`, `rollback`, `ack`, with actor and reason.

The command line and the ops pages share this module. Each action is a step from the current state to the next one. It
is stored only if the state has not changed in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from proxy.config.field_types import ZERO, show_share
from proxy.config.models import Route
from proxy.rollout import transitions
from proxy.rollout.groups import former_keys, merged_state
from proxy.rollout.model import LABELS, Attribution, AuditEntry, RouteState, state_key
from proxy.rollout.store import Store
from proxy.rollout.transitions import Refused, acknowledge, roll_back
from proxy.types import BasisPoints

Step: TypeAlias = Callable[[Route, RouteState, Attribution], RouteState]
ATTEMPTS: Final = 5
MAX_LENGTH: Final = 500
"""Maximum characters of an actor's name, and of a reason."""

RECENT: Final = 10.0
"""Seconds after a promotion for which another one must name its stage."""

promote: Final[Step] = transitions.promote
pause: Final[Step] = transitions.pause
resume: Final[Step] = transitions.resume


def promotion(to: BasisPoints | None = None) -> Step:
    """Return the step that promotes a rollout whose version the person does not know to its next stage.

    The next stage must be `to`, if that is given. Otherwise the step is refused for RECENT seconds after another
    promotion: two people, or a person and the schedule, who promote at the same time mean the same stage.
    """
    return partial(_promoted, to=to)


def rollback(share: BasisPoints = ZERO) -> Step:
    """Return the step that caps a share (basis points) until that is acknowledged."""
    return partial(_rolled_back, share=share)


def ack(*, at_once: bool = False) -> Step:
    """Return the step that acknowledges a cap: the share may rise after the cooldown, or immediately with `at_once`."""
    return partial(acknowledge, at_once=at_once)


async def carry_out(
    store: Store,
    members: Sequence[Route],
    step: Step,
    actor: str,
    reason: str,
    *,
    expected_version: int | None = None,
) -> RouteState:
    """Carry out a step on a route, or on all routes of a group, and return the resulting state.

    `expected_version` is the version that the person acted on; any other version raises `Refused`, so that a rollout
    that has just been promoted is not promoted twice. Raises `Refused`, `DatabaseError`.
    """
    actor, reason = require_actor(actor), require_reason(reason)
    route = members[0]
    for _ in range(ATTEMPTS):
        state = await _stored(store, members)
        if expected_version is not None and state.version != expected_version:
            raise Refused(f"{route.domain} has changed meanwhile: {_describe(state.change)}. Check it and try again")
        expected_version = state.version if step is promote else expected_version
        after = step(route, state, Attribution(actor, reason, await store.now()))
        if await store.replace(after):
            return after
    raise Refused(f"{route.domain} keeps changing: check it and try again")


def _describe(change: AuditEntry) -> str:
    return f"{LABELS[change.kind]} by {change.by.actor}, {change.movement} ({change.by.reason})"


async def _stored(store: Store, members: Sequence[Route]) -> RouteState:
    """Return the state of a route or group; for a new group, the merged state of its routes."""
    state = await store.state(state_key(members[0]))
    if state is not None:
        return state
    former = [await store.state(key) for key in former_keys(members)]
    return merged_state(members[0], [each for each in former if each is not None])


def require_actor(actor: str) -> str:
    """Return the actor's name as one line. Raises `Refused` if it is empty."""
    name = " ".join(actor.split())[:MAX_LENGTH]
    if not name:
        raise Refused("an actor is required: give your name")
    return name


def require_reason(reason: str) -> str:
    """Return the reason as one line. Raises `Refused` if it is empty."""
    reason = " ".join(reason.split())[:MAX_LENGTH]
    if not reason:
        raise Refused("a reason is required")
    return reason


def _promoted(route: Route, state: RouteState, by: Attribution, *, to: BasisPoints | None) -> RouteState:
    after = transitions.promote(route, state, by)
    following = show_share(after.stage or ZERO)
    if to is None and state.change.kind == "promotion" and by.at - state.change.by.at < RECENT:
        just = f"{route.domain} has just been {_describe(state.change)}"
        raise Refused(f"{just}. If it should move on, name its next stage: {following}")
    if to is not None and after.stage != to:
        raise Refused(f"the next stage of {route.domain} is {following}, not {show_share(to)}")
    return after


def _rolled_back(route: Route, state: RouteState, by: Attribution, *, share: BasisPoints) -> RouteState:
    return roll_back(route, state, share, by)
