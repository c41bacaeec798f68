"""A child that does not outlive its parent, even where that was killed and could tell nobody."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def end_with(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Have this process sent a signal once its parent is gone, at once where it already is. Linux alone can."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
