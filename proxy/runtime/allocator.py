"""Settings of the C library's allocator: long buffers are returned to the system when they are freed."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

MAPPED_FROM: Final = 512 * 1024
"""Size from which an allocation has its own memory mapping, which can also grow without a copy."""
_M_MMAP_THRESHOLD: Final = -3  # malloc.h of glibc


def map_long_buffers() -> bool:
    """Stop glibc from raising its limit (to at most 32 MiB) whenever a long buffer is freed.

    Buffers below the limit share a heap, which cannot shrink below the last one in use. A process that once held the
    bodies of many clients would never return their memory. Return False if the allocator has no such setting.
    """
    if sys.platform != "linux":
        return False
    setting = getattr(ctypes.CDLL(None), "mallopt", None)
    return setting is not None and bool(setting(_M_MMAP_THRESHOLD, MAPPED_FROM))
