"""Settings that a route has from `defaults` and from its group. Pure.

The nearest one counts, as a whole: the route's own, else its group's, else the one of `defaults`. Only those are
inherited that can have an effect on the route: a WebSocket has no shadow, and a write is not repeated on legacy. A
rollout has the share that is given beside it, or nearer; else it may reach everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from proxy.config.route_models import GroupSettings, RouteDefaults, RouteShadow, none_if_off
from proxy.config.section import section_keys
from proxy.gateway.patterns import ANY, WEBSOCKET

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "QUERY", "REPORT", "PROPFIND", "SEARCH", "TRACE"})
"""Methods that read."""
Location = tuple[int | str, ...]
Inherited = tuple[Any, Location]
"""A value, and where it is written."""


def inherited(
    route: Mapping[str, Any], defaults: RouteDefaults, groups: Mapping[str, GroupSettings]
) -> dict[str, Inherited]:
    """Return the settings by key that a route, of plain values, does not have itself."""
    group = route.get("group")
    own = groups.get(group) if isinstance(group, str) else None
    nearest: dict[str, Inherited] = {key: (value, ("defaults", key)) for key, value in _given(defaults)}
    if own is not None:
        if own.rollout is not None:
            nearest.pop("native", None)
        nearest |= {key: (value, ("groups", str(group), key)) for key, value in _given(own)}
    if none_if_off(route.get("rollout")) is not None:
        nearest.pop("native", None)
    match = str(route.get("match"))
    return {
        key: (value, location)
        for key, (value, location) in nearest.items()
        if route.get(key) is None and value is not None and _applies(key, value, match)
    }


def is_compared(method: str, shadow: RouteShadow) -> bool:
    """Return True where any requests of a method run in the shadow; `*` is any method, `WS` a WebSocket."""
    some = method in SAFE or method == ANY or shadow.writes == "dry_run"
    return shadow.share > 0 and some and method != WEBSOCKET


def _given(section: RouteDefaults) -> Iterator[tuple[str, Any]]:
    return ((key, getattr(section, key)) for key in section_keys(type(section)) if key in section.model_fields_set)


def _applies(key: str, value: Any, match: str) -> bool:
    method = match.partition(" ")[0]
    if key == "shadow":
        return is_compared(method, value)
    return key != "on_native_error" or method in SAFE
