"""Caches that store only recurring keys, so that keys that come once cost little. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recurrence:
    """The hashes of recent data; the oldest are dropped first. Data with equal hashes count as equal."""

    def __init__(self, size: int) -> None:
        self._size: Final = size
        self._hashes: Final[dict[int, None]] = {}

    def recurs(self, data: bytes) -> bool:
        """Return whether these bytes came before, and record them."""
        key = hash(data)
        if key in self._hashes:
            return True
        if len(self._hashes) >= self._size:
            del self._hashes[next(iter(self._hashes))]
        self._hashes[key] = None
        return False


class RecurringValues(Generic[K, V]):
    """Values by key, at most `size`; a full cache drops the oldest one.

    For speed, subclasses may read `_values` directly: a call would cost as much as the lookup.
    """

    def __init__(self, size: int) -> None:
        self._size: Final = size
        self._values: Final[dict[K, V]] = {}
        self._recurrence: Final = Recurrence(4 * size)

    def _recurs(self, data: bytes) -> bool:
        """Return whether to cache the value of these bytes: they came before."""
        return self._recurrence.recurs(data)

    def _cache(self, key: K, value: V) -> None:
        if len(self._values) >= self._size:
            del self._values[next(iter(self._values))]
        self._values[key] = value
