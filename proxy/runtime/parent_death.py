"""Child processes that do not outlive their parent, even one that was killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def exit_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Send this process a signal once its parent has ended, at once where it already has. Linux only."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
