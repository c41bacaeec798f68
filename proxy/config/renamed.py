"""Former keys and values of routing.yaml, for which `check` names the present ones.

A row has no effect while the model still accepts the former key or value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

KEYS: Final[dict[str, str]] = {
    "routes.rollout.hold": "routes.rollout.bake_time",
    "shadow.pressure": "shadow.max_cpu_wait",
    "shadow.rehearsal": "shadow.dry_run_timeout",
}
VALUES: Final[dict[tuple[str, str], str]] = {("routes.shadow.writes", "rehearse"): "dry_run"}

_ROUTE_SECTIONS: Final = {"routes": 1, "defaults": 1, "groups": 2}
"""Sections with the keys of a route, which the tables have under `routes`; the number of keys that lead to them."""


def new_key(location: Sequence[int | str]) -> str | None:
    """Return the dotted path that replaces a former key, None for any other location."""
    section, path = _table_path(location)
    new = KEYS.get(path)
    return f"{section}.{new.removeprefix('routes.')}" if new and section else new


def new_value(location: Sequence[int | str], value: object) -> str | None:
    """Return the word that replaces a former value at a location, None for any other value."""
    return VALUES.get((_table_path(location)[1], value)) if isinstance(value, str) else None


def _table_path(location: Sequence[int | str]) -> tuple[str, str]:
    """Return the section of a location with the keys of a route, or "", and the path as the tables have it."""
    keys = [part for part in location if isinstance(part, str)]
    lead = _ROUTE_SECTIONS.get(keys[0], 0) if keys else 0
    return ".".join(keys[:lead]), ".".join(["routes", *keys[lead:]] if lead else keys)
