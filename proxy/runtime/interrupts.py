"""Ctrl-C, which a terminal sends to all processes: the gateway handles it, and stops its child processes itself."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_INTERRUPT: Final = {signal.SIGINT}


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Start children with Ctrl-C blocked: while they import modules, it would end each of them with a traceback.

    A Ctrl-C in the block is delivered after it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def discard_interrupts() -> None:
    """Ignore Ctrl-C in a child that was started `without_interrupts`, also one that is pending."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)
