"""A route with a rollout, its first state, and the next state of any."""

from __future__ import annotations

from proxy.config.models import Route
from proxy.rollout.model import Attribution, RouteState
from proxy.rollout.transitions import initial_state, promote, start_rollout

ROUTE = Route.model_validate(
    {"name": "notes.list", "match": "GET /a", "guard": {}, "rollout": {"stages": ["1%", "50%"], "bake_time": "1d"}}
)
FIRST = start_rollout(ROUTE, initial_state(ROUTE), 10.0)


def next_of(state: RouteState, at: float = 20.0) -> RouteState:
    return promote(ROUTE, state, Attribution("amara", "because", at))
