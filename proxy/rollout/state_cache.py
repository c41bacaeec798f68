"""This process's cache of route states: stored ones, and local ones that are not stored yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from proxy.config.models import Route
from proxy.rollout.groups import RouteGroups, former_keys, merged_state
from proxy.rollout.model import RouteState, state_key
from proxy.rollout.shares import Effective, effective
from proxy.rollout.transitions import initial_state, rebase_local_cap
from proxy.types import BasisPoints


class RouteStateCache:
    """Cache of the states of routes and groups, by key.

    `groups` are those of the configuration in force. `loaded` is False until all stored states have been read once.
    """

    def __init__(self) -> None:
        self.groups = RouteGroups(())
        self.loaded = False
        self._stored: dict[str, RouteState] = {}
        self._local: dict[str, tuple[Route, RouteState]] = {}
        self._running: dict[str, BasisPoints] = {}  # shares of routes when a rollout was added

    def state(self, route: Route) -> RouteState:
        """Return the state in force: the local one, or else the stored one, or else the initial one."""
        key = state_key(route)
        _, local = self._local.get(key, (None, None))
        return local or self.stored(route) or initial_state(route)

    def stored(self, route: Route) -> RouteState | None:
        """Return the stored state; for a new group, the merged state of its routes."""
        return self._continued(route, self._stored_as_it_is(route))

    def _stored_as_it_is(self, route: Route) -> RouteState | None:
        key = state_key(route)
        if key in self._stored:
            return self._stored[key]
        keys = former_keys(self.groups.members(key))
        former = [self._stored[key] for key in keys if key in self._stored]
        return merged_state(route, former) if former else None

    def _continued(self, route: Route, state: RouteState | None) -> RouteState | None:
        """Return the state of a rollout that continues at a running share, before its start is stored."""
        running = self._running.get(state_key(route))
        if running is None or route.rollout is None or (state is not None and state.stage is not None):
            return state
        stage = route.rollout.continuing(running)
        return state if stage is None else replace(state or initial_state(route), stage=stage)

    def set_running(self, route: Route, share: BasisPoints) -> None:
        """Let a rollout that was added continue at the share that was in force, the lowest of its group."""
        key = state_key(route)
        self._running[key] = min(share, self._running.get(key, share))

    def forget_running(self, route: Route) -> None:
        """Forget the share of a route that has no rollout."""
        self._running.pop(state_key(route), None)

    def continues_at(self, route: Route) -> BasisPoints | None:
        """Return the running share at which a rollout is to continue; None once it has started."""
        state = self._stored_as_it_is(route)
        if self._continued(route, state) is state:
            return None
        return self._running[state_key(route)]

    def without_route(self) -> list[RouteState]:
        """Return the capped states whose route no longer exists."""
        known = {key for route in self.groups.leaders() for key in self._keys(route)}
        return [state for state in self._stored.values() if state.cap is not None and state.key not in known]

    def _keys(self, route: Route) -> list[str]:
        return [state_key(route), *former_keys(self.groups.members(state_key(route)))]

    def effective(self, route: Route) -> Effective:
        """Return the share in force: the lower one if the local and the stored state differ."""
        key = state_key(route)
        stored = effective(route, self.stored(route), read=self.loaded)
        if key in self._local:
            local = effective(route, self._local[key][1], read=self.loaded)
            return local if (local.share, local.cap) < (stored.share, stored.cap) else stored
        return stored

    def load(self, states: Mapping[str, RouteState]) -> None:
        """Replace the cache with the store's contents."""
        self._stored = dict(states)
        self.loaded = True

    def record(self, state: RouteState) -> bool:
        """Record one state of the store. Return False if its version is not newer."""
        known = self._stored.get(state.key)
        if known is not None and known.version >= state.version:
            return False
        self._stored[state.key] = state
        if state.stage is not None:
            self._running.pop(state.key, None)
        return True

    def set_local(self, route: Route, state: RouteState) -> None:
        """Apply a cap that is not stored yet."""
        self._local[state.key] = route, state

    def local_states(self) -> Iterator[tuple[Route, RouteState]]:
        """Yield the states that are not stored yet."""
        yield from tuple(self._local.values())

    def confirm_local(self, own: RouteState) -> None:
        """Record that a local state has been stored."""
        self._local.pop(own.key)
        self.record(own)

    def rebase_local(self, own: RouteState, stored: RouteState) -> None:
        """Record the store's newer state; the local cap still applies if it is lower."""
        route, _ = self._local.pop(own.key)
        self.record(stored)
        rebased = rebase_local_cap(route, stored, own)
        if rebased is not None:
            self._local[own.key] = route, rebased
