"""Digests and times in bodies and texts, as comparisons read them."""

from __future__ import annotations

from proxy.comparison.body_digests import BlockDigests
from proxy.comparison.volatile import split_volatile, timestamp_of


def digests_of(data: bytes) -> BlockDigests:
    """Return the digests of bytes that are available as a whole."""
    digests = BlockDigests()
    digests.update(data)
    return digests


def timestamps(text: str) -> set[int]:
    """Return all distinct times in a text, in ms since the epoch."""
    moments = (timestamp_of(segment.kind, segment.text) for segment in split_volatile(text))
    return {at for at in moments if at is not None}
