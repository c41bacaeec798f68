"""The ways in which the same bytes may arrive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.support.profile import IS_QUICK

LONG = 20_000
"""Bytes from which on a quick run has no delivery byte by byte."""


def deliveries(data: bytes, boundaries: Sequence[int] | None = None) -> Iterator[Sequence[bytes]]:
    """Yield bytes whole, byte by byte, and in two pieces cut at every boundary, or at these.

    A quick run cuts at every third of them, and delivers LONG bytes or more in pieces of 97 instead of single bytes.
    """
    size = 97 if IS_QUICK and len(data) >= LONG else 1
    yield [data]
    yield [data[at : at + size] for at in range(0, len(data), size)]
    cuts = range(1, len(data)) if boundaries is None else boundaries
    for at in cuts[len(data) % 3 :: 3] if IS_QUICK else cuts:
        yield [data[:at], data[at:]]
