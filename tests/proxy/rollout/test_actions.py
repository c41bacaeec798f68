"""Two people who act on one rollout at the same time."""

from __future__ import annotations

from functools import reduce

import pytest

from proxy.config.models import Route
from proxy.rollout import actions
from proxy.rollout.actions import RECENT, Step
from proxy.rollout.model import Attribution, RouteState
from proxy.rollout.transitions import Refused, initial_state, start_rollout
from proxy.types import BasisPoints

STAGES = (100, 1000, 5000)
ROUTE = Route.model_validate(
    {"name": "notes.list", "match": "GET /notes", "guard": {}, "rollout": {"stages": ["1%", "10%", "50%"]}}
)
STARTED = start_rollout(ROUTE, initial_state(ROUTE), 100.0)


def after(*steps: tuple[Step, str, float]) -> RouteState:
    """Return the state after steps, each with its actor and its time in seconds."""

    def applied(state: RouteState, step: tuple[Step, str, float]) -> RouteState:
        return step[0](ROUTE, state, Attribution(step[1], "all quiet", step[2]))

    return reduce(applied, steps, STARTED)


@pytest.mark.parametrize("second", ["Bob", "Ada", "schedule"])
def test_simultaneous_promotion_is_refused_naming_the_first(second: str) -> None:
    first = (actions.promotion(), "Ada", 200.0)
    with pytest.raises(Refused) as caught:
        after(first, (actions.promotion(), second, 200.0 + RECENT - 0.1))
    assert str(caught.value) == (
        "notes.list has just been promoted by Ada, from 1% to 10% (all quiet). "
        "If it should move on, name its next stage: 50%"
    )


def test_promotion_after_a_while_needs_no_stage() -> None:
    assert after((actions.promotion(), "Ada", 200.0), (actions.promotion(), "Bob", 200.0 + RECENT)).stage == STAGES[2]


def test_first_promotion_after_a_start_needs_no_stage() -> None:
    assert after((actions.promotion(), "Ada", 100.0)).stage == STAGES[1]


def test_named_stage_is_promoted_to_only_if_it_is_next() -> None:
    first = (actions.promotion(), "Ada", 200.0)
    assert after(first, (actions.promotion(BasisPoints(5000)), "Bob", 200.0)).stage == STAGES[2]
    with pytest.raises(Refused, match=r"the next stage of notes\.list is 50%, not 10%"):
        after(first, (actions.promotion(BasisPoints(1000)), "Bob", 900.0))
