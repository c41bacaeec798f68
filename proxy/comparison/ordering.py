"""Pairs of generated values, whose order must be the same on both sides. Pure."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field


@dataclass(slots=True)
class PairedOrder:
    """Pairs of numbers, of which one side's smaller number belongs to the other side's smaller number."""

    _legacies: list[int] = field(default_factory=list)
    _natives: list[int] = field(default_factory=list)

    def add(self, legacy: int, native: int) -> bool:
        """Add a pair; return False, and add nothing, if its order among the others differs between the sides."""
        index = bisect_left(self._legacies, legacy)
        if index < len(self._legacies) and self._legacies[index] == legacy:
            return self._natives[index] == native
        before = self._natives[index - 1] if index else native - 1
        after = self._natives[index] if index < len(self._natives) else native + 1
        if not before < native < after:
            return False
        self._legacies.insert(index, legacy)
        self._natives.insert(index, native)
        return True
