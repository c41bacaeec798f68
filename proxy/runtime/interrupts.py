"""Signals that all processes get: Ctrl-C of a terminal, SIGTERM of a service manager that stops a whole control group.

The gateway handles them, and stops its child processes itself.

SIGHUP ends no service: by convention it asks for a reload, and routing.yaml is watched.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final

_INTERRUPT: Final = {signal.SIGINT}


@contextmanager
def without_interrupts(*others: signal.Signals) -> Iterator[None]:
    """Start children with Ctrl-C blocked: while they import modules, it would end each of them with a traceback.

    `others` are further signals to block. A blocked signal is delivered after the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_INTERRUPT, *others})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def discard_interrupts(*others: signal.Signals) -> None:
    """Ignore Ctrl-C and `others` in a child that was started `without_interrupts`, also pending ones."""
    for number in (*_INTERRUPT, *others):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_INTERRUPT, *others})


def ignore_hang_ups() -> None:
    """Ignore SIGHUP in this process and its children, unless the end of their terminal shall end them."""
    if sys.platform != "win32" and not (sys.stdin and sys.stdin.isatty()):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def end_cleanly_on_termination() -> None:
    """End this process with code 0 on SIGTERM, also on the one that uvicorn raises again once it has stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def hide_traceback() -> None:
    """End this process without a traceback if Ctrl-C interrupts it where nothing handles that, as in an import."""
    sys.excepthook = _show_unless_interrupted


def _show_unless_interrupted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
