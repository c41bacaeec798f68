"""The ways in which the same bytes may arrive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def every_split(data: bytes, boundaries: Iterable[int] | None = None) -> Iterator[Sequence[bytes]]:
    """Yield bytes whole, byte by byte, and in two pieces cut at every boundary, or at these."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for at in range(1, len(data)) if boundaries is None else boundaries:
        yield [data[:at], data[at:]]
