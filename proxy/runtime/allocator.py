"""The C library's allocator: long buffers are returned to the system when they are freed."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

MAPPED_FROM: Final = 512 * 1024
"""Bytes from which an allocation has memory of its own. Longer ones are extended without a copy, too."""
_M_MMAP_THRESHOLD: Final = -3  # malloc.h of glibc


def map_long_buffers() -> bool:
    """Keep glibc from raising its limit, by default up to 32 MiB with each long buffer that is freed.

    Buffers below that limit share a heap, which cannot shrink below the last one in use: a process that held the bodies
    of many clients once would never return their memory. Return False if the allocator has no such setting.
    """
    if sys.platform != "linux":
        return False
    setting = getattr(ctypes.CDLL(None), "mallopt", None)
    return setting is not None and bool(setting(_M_MMAP_THRESHOLD, MAPPED_FROM))
