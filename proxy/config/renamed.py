"""Former keys and values of routing.yaml, so that `check` names the present one.

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


def new_key(location: Sequence[int | str]) -> str | None:
    """Return the dotted path that replaces a former key, None for any other location."""
    return KEYS.get(_dotted(location))


def new_value(location: Sequence[int | str], value: object) -> str | None:
    """Return the word that replaces a former value at a location, None for any other value."""
    return VALUES.get((_dotted(location), value)) if isinstance(value, str) else None


def _dotted(location: Sequence[int | str]) -> str:
    return ".".join(part for part in location if isinstance(part, str))
