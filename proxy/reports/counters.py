"""Counts of events in memory until they are written. Pure, and bounded.

A count's key is `what` and its attributes, as named values that become a document's fields.
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

MAX_KEYS: Final = 5000
"""Maximum number of different counts in a batch."""
MAX_FIELDS: Final = 200
"""Maximum number of different fields of one route within an hour; further ones are counted as OTHER_FIELDS."""
MAX_UNKNOWN_NAMES: Final = 10
"""Maximum number of names unknown to the contract at one path. With more, they are probably data, not names."""
OTHER_FIELDS: Final = "…"
"""The field that stands for all fields over the limit."""

_OF_NATIVE: Final = frozenset(("drift", "field", "request", "skipped", "verdict"))
_DIGESTED_NAME: Final = re.compile(r"~[^.]+")


def key(what: What, **particulars: Particular) -> Key:
    """Return the key of a count."""
    return (("what", what), *particulars.items())


def of_revision(key: Key, revision: str | None) -> Key:
    """Return the key for one revision of native; unchanged if it is unknown or irrelevant for the count."""
    return key if revision is None or key[0][1] not in _OF_NATIVE else (*key, ("revision", revision))


@dataclass(slots=True)
class Count:
    """A number of events, and the times of the first and the last (seconds since the epoch)."""

    number: int
    first: float
    last: float


class CounterBatch:
    """At most `limit` different counts by key and minute."""

    def __init__(self, limit: int = MAX_KEYS) -> None:
        self._limit = limit
        self._counts: dict[tuple[Key, int], Count] = {}

    def has_room(self) -> bool:
        """Return whether another event can be counted."""
        return len(self._counts) < self._limit

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is counted."""
        return not self._counts

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
        """Yield every count with the beginning of its slice of `seconds`; several may have the same slice."""
        for (key, minute), count in self._counts.items():
            yield key, minute - minute % seconds, count


class Fields:
    """The fields of each route within the hour, limited to MAX_FIELDS."""

    def __init__(self) -> None:
        self._hour = 0
        self._known: dict[str, set[str]] = {}

    def admit(self, route: str, field: str, at: float) -> str:
        """Return the name under which a field is counted: its own, or a shared one over the limit."""
        if self._hour != at // HOUR:
            self._hour, self._known = int(at // HOUR), {}
        known = self._known.setdefault(route, set())
        if field in known:
            return field
        field = _folded(field, known)
        if len(known) >= MAX_FIELDS and field not in known:
            return OTHER_FIELDS
        known.add(field)
        return field


def _folded(field: str, known: set[str]) -> str:
    """Return the field without its digests if too many known fields differ only in these."""
    folded = _DIGESTED_NAME.sub("~", field)
    if folded == field or sum(_DIGESTED_NAME.sub("~", one) == folded for one in known) < MAX_UNKNOWN_NAMES:
        return field
    return folded
