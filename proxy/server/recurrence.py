"""Which bytes come again. A cache that takes only those pays little for the others. Pure."""

from __future__ import annotations

from typing import Final


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
