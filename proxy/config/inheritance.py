"""Settings that a route inherits from its group and from `defaults`. Pure.

The nearest setting applies as a whole: the route's own, or else its group's, or else the one in `defaults`. Settings
without effect on a route are not inherited; for example, a write is never repeated on legacy. A WebSocket inherits no
shadow either, because its frames would be held in memory until it ends. A rollout is limited by a share at its own
level or nearer to the route; without one, it may reach 100%.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from proxy.config.route_models import GroupSettings, RouteDefaults, RouteShadow, none_if_off
from proxy.config.section import section_keys
from proxy.gateway.patterns import ANY, WEBSOCKET

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "QUERY", "REPORT", "PROPFIND", "SEARCH", "TRACE"})
"""Methods that only read (safe methods, RFC 9110 §9.2.1)."""
Location = tuple[int | str, ...]
Inherited = tuple[Any, Location]
"""A value and its location in the file."""


def inherited(
    route: Mapping[str, Any], defaults: RouteDefaults, groups: Mapping[str, GroupSettings]
) -> dict[str, Inherited]:
    """Return the inherited settings of a route by key; `route` holds its own settings as plain values."""
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
    """Return True if requests of a method can run in the shadow; `*` is any method, `WS` a WebSocket."""
    some = method in SAFE or method in (ANY, WEBSOCKET) or shadow.writes == "dry_run"
    return shadow.share > 0 and some


def _given(section: RouteDefaults) -> Iterator[tuple[str, Any]]:
    return ((key, getattr(section, key)) for key in section_keys(type(section)) if key in section.model_fields_set)


def _applies(key: str, value: Any, match: str) -> bool:
    method = match.partition(" ")[0]
    if key == "shadow":
        return method != WEBSOCKET and is_compared(method, value)
    return key != "on_native_error" or method in SAFE
