"""Counts of events in memory until they are written. Pure, and bounded.

A count's key says what is counted: `what` and its particulars, as named values that become a document's fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from proxy.reports.models import HOUR, MINUTE

What = Literal["answer", "divergence", "drift", "dropped", "field", "noise", "replay", "request", "skipped", "verdict"]
Particular: TypeAlias = "str | int | bool | None"
Key: TypeAlias = tuple[tuple[str, Particular], ...]

KEYS: Final = 5000
"""Maximum number of different counts in memory."""
FIELDS: Final = 200
"""How many different fields are told apart of one route within an hour."""
MAX_UNKNOWN_NAMES: Final = 10
"""How many names that no contract knows are told apart at one place: more, and they are data, not names."""
OTHERS: Final = "…"
"""The field of all that are not told apart."""

_STRANGER: Final = re.compile(r"~[^.]+")


def key(what: What, **particulars: Particular) -> Key:
    """Return the key of a count."""
    return (("what", what), *particulars.items())


@dataclass(slots=True)
class Count:
    """A number of events, and the times of the first and the last (seconds since the epoch)."""

    number: int
    first: float
    last: float


class CounterBatch:
    """Counts by key and minute."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Key, int], Count] = {}

    def has_room(self) -> bool:
        """Return whether another event can be counted."""
        return len(self._counts) < KEYS

    def add(self, key: Key, at: float, number: int = 1) -> None:
        """Count `number` events at the time `at`."""
        slot = (key, int(at // MINUTE) * MINUTE)
        count = self._counts.get(slot)
        if count is None:
            self._counts[slot] = Count(number, at, at)
        else:
            count.number += number
            count.first, count.last = min(count.first, at), max(count.last, at)

    def by(self, seconds: int) -> Iterator[tuple[Key, int, Count]]:
        """Every count with the beginning of the slice that it falls into; several may fall into one."""
        for (key, minute), count in self._counts.items():
            yield key, minute - minute % seconds, count


class Fields:
    """Keeps the number of a route's different fields within bounds, hour by hour."""

    def __init__(self) -> None:
        self._hour = 0
        self._known: dict[str, set[str]] = {}

    def admit(self, route: str, field: str, at: float) -> str:
        """The name that a field is counted by: its own, or one that it shares."""
        if self._hour != at // HOUR:
            self._hour, self._known = int(at // HOUR), {}
        known = self._known.setdefault(route, set())
        if field in known:
            return field
        field = _folded(field, known)
        if len(known) >= FIELDS and field not in known:
            return OTHERS
        known.add(field)
        return field


def _folded(field: str, known: set[str]) -> str:
    """The field without its digests, where too many differ from it by those alone."""
    folded = _STRANGER.sub("~", field)
    if folded == field or sum(_STRANGER.sub("~", one) == folded for one in known) < MAX_UNKNOWN_NAMES:
        return field
    return folded
