"""Format shares and durations as text. Imports only types, for commands that must start quickly."""

from __future__ import annotations

from typing import Final

from proxy.types import BasisPoints

FULL: Final = BasisPoints(10_000)
"""A share of 100% in steps of 0.01%."""
ZERO: Final = BasisPoints(0)


def show_share(share: BasisPoints) -> str:
    """Format a share as a percentage: 2500 is `25%`, 1 is `0.01%`."""
    return f"{share // 100}%" if share % 100 == 0 else f"{share / 100:.2f}".rstrip("0") + "%"


def show_duration(seconds: float) -> str:
    """Format a duration in the largest unit that gives a whole number."""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds * 1000:.3f}".rstrip("0").rstrip(".") + "ms"
