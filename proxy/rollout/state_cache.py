"""States as one process knows them: what the store said last, and what was done here that it is yet to hear of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from proxy.config.models import Route
from proxy.rollout.model import RouteState, state_key
from proxy.rollout.shares import Effective, effective
from proxy.rollout.transitions import initial_state, rebase_local_cap


class RouteStateCache:
    """`read` is false until the store has told everything once."""

    def __init__(self) -> None:
        self.read = False
        self._known: dict[str, RouteState] = {}
        self._own: dict[str, tuple[Route, RouteState]] = {}

    def state(self, route: Route) -> RouteState:
        """What is in force, as far as is known."""
        key = state_key(route)
        _, own = self._own.get(key, (None, None))
        return own or self._known.get(key) or initial_state(route)

    def effective(self, route: Route) -> Effective:
        """The share in force: the lower one, where what was done here and what the store says differ."""
        key = state_key(route)
        found = effective(route, self._known.get(key), read=self.read)
        if key in self._own:
            own = effective(route, self._own[key][1], read=self.read)
            return own if own.share < found.share else found
        return found

    def learn(self, states: Mapping[str, RouteState]) -> None:
        """All that the store has: what it has not is not so."""
        self._known = dict(states)
        self.read = True

    def hear(self, state: RouteState) -> bool:
        """One state from the store. False if it is no news."""
        known = self._known.get(state.key)
        if known is not None and known.version >= state.version:
            return False
        self._known[state.key] = state
        return True

    def do(self, route: Route, state: RouteState) -> None:
        """Put a cap in force here, which the store is to hear of."""
        self._own[state.key] = route, state

    def untold(self) -> Iterator[tuple[Route, RouteState]]:
        """What the store is to hear of."""
        yield from tuple(self._own.values())

    def told(self, own: RouteState, now: RouteState | None) -> None:
        """The store has heard of it; or it has another state `now`, on top of which ours must be put once more."""
        route, _ = self._own.pop(own.key)
        if now is None:
            self.hear(own)
            return
        self.hear(now)
        again = rebase_local_cap(route, now, own)
        if again is not None:
            self._own[own.key] = route, again
