"""Caches of what recurs. They take only keys whose bytes came before, so that others cost little. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recurrence:
    """The hashes of what came lately, the oldest forgotten first. Two with the same hash count as one."""

    def __init__(self, size: int) -> None:
        self._size: Final = size
        self._hashes: Final[dict[int, None]] = {}

    def recurs(self, data: bytes) -> bool:
        """Return whether these bytes came before, and remember them."""
        key = hash(data)
        if key in self._hashes:
            return True
        if len(self._hashes) >= self._size:
            del self._hashes[next(iter(self._hashes))]
        self._hashes[key] = None
        return False


class RecurringValues(Generic[K, V]):
    """Values by key, at most `size`; a full cache drops the one that was added first.

    A subclass reads `_values` itself, where a call would cost as much as the lookup.
    """

    def __init__(self, size: int) -> None:
        self._size: Final = size
        self._values: Final[dict[K, V]] = {}
        self._recurrence: Final = Recurrence(4 * size)

    def _recurs(self, data: bytes) -> bool:
        """Return whether what these bytes mean is to be cached: they came before."""
        return self._recurrence.recurs(data)

    def _cache(self, key: K, value: V) -> None:
        if len(self._values) >= self._size:
            del self._values[next(iter(self._values))]
        self._values[key] = value
