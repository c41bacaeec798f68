"""Rules for groups: all routes of a group have the same share, rollout and revision."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from proxy.config.field_types import show_share
from proxy.config.models import Route
from proxy.config.problems import Problem
from proxy.config.route_models import GroupSettings
from proxy.config.rules import Locate, Placed
from proxy.wording import did_you_mean

_SHARED: Final = {"native": "native_traffic", "rollout": "rollout", "revision": "revision"}
"""Keys with the same value on all routes of a group, with their fields."""


def problems(
    routes: Sequence[Placed], groups: Mapping[str, GroupSettings], named: Collection[str], locate: Locate
) -> Iterator[Problem]:
    """Yield groups without a route, and settings that differ within a group.

    `named`: the groups that any route names, readable or not.
    """
    for name in groups:
        if name not in named:
            yield locate(f"names no route: none has `group: {name}`{did_you_mean(name, named)}", "groups", name)
    for group, placed in _members(routes).items():
        for key, field in _SHARED.items():
            common = getattr(groups.get(group), key, None)
            first = next((each for each in placed if getattr(each[1], field) == common), placed[0])
            yield from _differing(group, placed, first, key, locate)


def notes(routes: Sequence[Placed], groups: Mapping[str, GroupSettings], locate: Locate) -> Iterator[Problem]:
    """Yield warnings about a group of one route that `groups` does not name, and a pin on a part of a group."""
    members = _members(routes)
    for group, placed in members.items():
        index, _ = placed[0]
        if len(placed) == 1 and group not in groups:
            hint = did_you_mean(group, (name for name in (*members, *groups) if name != group))
            yield locate(f"no other route is in the group {group}{hint}", "routes", index, "group")
        if len({route.pin for _, route in placed}) > 1:
            for index, route in placed:
                if route.pin is not None:
                    others = f"not the others of the group {group}: a caller may change backends between them"
                    message = f"pins this route alone, {others}"
                    yield locate(message, "routes", index, "pin")


def _members(routes: Sequence[Placed]) -> dict[str, list[Placed]]:
    members: dict[str, list[Placed]] = defaultdict(list)
    for index, route in routes:
        if route.group is not None:
            members[route.group].append((index, route))
    return members


def _differing(group: str, placed: Sequence[Placed], first: Placed, key: str, locate: Locate) -> Iterator[Problem]:
    field, reference = _SHARED[key], first[1]
    for index, route in placed:
        if getattr(route, field) != getattr(reference, field):
            line = locate("", "routes", first[0], key).line
            values = f"{_shown(route, key)} here, {_shown(reference, key)} on line {line}"
            message = f"differs within the group {group}: {values}; write it once, under `groups`"
            yield locate(message, "routes", index, key)


def _shown(route: Route, key: str) -> str:
    if key == "native":
        return show_share(route.native) + (" with targets" if route.targeted else "")
    if key == "rollout":
        return " → ".join(map(show_share, route.rollout.stages)) if route.rollout is not None else "none"
    return route.revision or "none"
