"""What a person may do to a route's share: `promote`, `pause`, `resume`, `rollback`, `ack`; each with who and why.

The command line and the ops pages share these. Each is a step from the state as it is to the next, and is done only if
the state is still that one when it is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from proxy.config.models import Route
from proxy.rollout import transitions
from proxy.rollout.model import Attribution, RouteState, state_key
from proxy.rollout.store import Store
from proxy.rollout.transitions import Refused, acknowledge, initial_state, roll_back

Step: TypeAlias = Callable[[Route, RouteState, Attribution], RouteState]
ATTEMPTS: Final = 5
LONGEST: Final = 500  # characters of a reason

promote: Final[Step] = transitions.promote
pause: Final[Step] = transitions.pause
resume: Final[Step] = transitions.resume


def rollback(share: int = 0) -> Step:
    """Leave native no more than a share (in ten-thousandths) until that is acknowledged."""
    return partial(_rolled_back, share=share)


def ack(*, at_once: bool = False) -> Step:
    """Let the share rise again, once it has cooled down or `at_once`."""
    return partial(acknowledge, at_once=at_once)


async def carry_out(
    store: Store, route: Route, step: Step, actor: str, reason: str, *, seen: int | None = None
) -> RouteState:
    """Do a step; gives the state that it led to.

    `seen`: the version of the state that the person saw; another is `Refused`, lest somebody promote what has just
    been promoted. Raises `Refused`, `DatabaseError`.
    """
    actor, reason = named(actor), reasoned(reason)
    for _ in range(ATTEMPTS):
        state = await store.state(state_key(route)) or initial_state(route)
        if seen is not None and state.version != seen:
            raise Refused(
                f"{route.name} has changed meanwhile ({state.change.kind} by {state.change.by.actor}): look again"
            )
        seen = state.version if step is promote else seen
        after = step(route, state, Attribution(actor, reason, await store.now()))
        if await store.replace(after):
            return after
    raise Refused(f"{route.name} keeps changing: look again")


def named(actor: str) -> str:
    """Who it is, on one line. Raises `Refused` where nobody is named."""
    name = " ".join(actor.split())[:LONGEST]
    if not name:
        raise Refused("say who you are")
    return name


def reasoned(reason: str) -> str:
    """The reason, on one line. Raises `Refused` where there is none."""
    reason = " ".join(reason.split())[:LONGEST]
    if not reason:
        raise Refused("say why")
    return reason


def _rolled_back(route: Route, state: RouteState, by: Attribution, *, share: int) -> RouteState:
    return roll_back(route, state, share, by)
