"""The descriptors 0, 1 and 2, which a caller may have closed (`serve >&-`)."""

from __future__ import annotations

import os
from typing import Final

STANDARD: Final = (0, 1, 2)


def open_closed_streams() -> None:
    """Open the null device for each closed standard stream, as Node does; child processes inherit it.

    The next socket would get the descriptor otherwise, and log lines would be written to a client or to legacy.
    """
    for descriptor in STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free descriptor: this one
