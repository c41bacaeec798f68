"""The entity tag of a long body, computed in slices between which the event loop runs."""

from hashlib import sha1
from typing import Final

from handlers.legacy.express.etag import tag_of
from handlers.yielding import yield_fairly

SLICE: Final = 256 * 1024
"""Bytes digested between two runs of the event loop."""


async def weak_tag_in_slices(body: bytes) -> str:
    """Return the `weak_tag` of a body that is not empty."""
    digest, view = sha1(usedforsecurity=False), memoryview(body)
    for start in range(0, len(body), SLICE):
        digest.update(view[start : start + SLICE])
        await yield_fairly()
    return tag_of(len(body), digest.digest())
