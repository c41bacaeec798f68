"""Groups of routes with one state: those with equal `group` and `revision`. A route without a group is its own. Pure.

All routes of a group have the same share and rollout (`check` rejects others), so any of them represents the group in a
transition.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from proxy.config.models import Route
from proxy.rollout.model import RouteState, state_key, stats_key
from proxy.rollout.transitions import initial_state
from proxy.wording import did_you_mean


class RouteGroups:
    """The groups of a configuration, by state key."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._members: dict[str, list[Route]] = {}
        for route in routes:
            self._members.setdefault(state_key(route), []).append(route)

    def members(self, key: str) -> Sequence[Route]:
        """Return the routes of a state key; empty if there is none."""
        return self._members.get(key, ())

    def leaders(self) -> list[Route]:
        """Return one route of each group, preferably one that is not pinned."""
        return [next((each for each in members if each.pin is None), members[0]) for members in self._members.values()]

    def find(self, name: str) -> Route | None:
        """Return the route with a name, or the leader of the group with that name; None if there is neither."""
        named = {each.name: each for members in self._members.values() for each in members}
        return named.get(name) or next((each for each in self.leaders() if each.domain == name), None)

    def missing(self, name: str) -> str:
        """Return `no route or group NAME`, and a suggestion of a similar name."""
        routes = [route for members in self._members.values() for route in members]
        known = dict.fromkeys(known for route in routes for known in (route.name, route.domain))
        return f"no route or group {name}{did_you_mean(name, known)}"


def setting_digests(routes: Iterable[Route]) -> dict[str, str]:
    """Return a digest of all settings of each group or single route, inherited ones included, by its name."""
    hashes: dict[str, hashlib._Hash] = {}
    for route in routes:
        settings = route.model_dump_json(exclude_defaults=True)  # new defaults change no digest
        hashes.setdefault(route.domain, hashlib.sha256()).update(settings.encode())
    return {name: settings.hexdigest()[:16] for name, settings in hashes.items()}


def changed_settings(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """Return the groups and routes whose digests differ; none if `before` is empty."""
    names = dict.fromkeys((*after, *before)) if before else {}
    return tuple(name for name in names if before.get(name) != after.get(name))


def former_keys(members: Iterable[Route]) -> list[str]:
    """Return the keys of the states that the routes of a group had before they joined it."""
    return [stats_key(route) for route in members if route.group is not None]


def merged_state(route: Route, former: Iterable[RouteState]) -> RouteState:
    """Return the initial state of a group whose routes had states of their own.

    It has the lowest cap and the lowest stage of those, and is paused if any of them is.
    """
    states = list(former)
    caps = [state.cap for state in states if state.cap is not None]
    reached = [state for state in states if state.stage is not None]
    lowest = min(reached, key=lambda state: state.stage or 0, default=None)
    return replace(
        initial_state(route),
        cap=min(caps, key=lambda cap: cap.share, default=None),
        stage=lowest.stage if lowest is not None else None,
        since=lowest.since if lowest is not None else 0.0,
        passing=max((state.passing for state in reached), default=0.0),
        paused=next((state.paused for state in states if state.paused is not None), None),
    )
