"""Log failures as types, code locations and a fingerprint, without the messages of exceptions.

Messages may quote documents and requests. A native app shares the process, and so asyncio's and Python's reports of
uncaught exceptions: `hide_messages` changes all of them to this form.

    ValueError at app.py:12 read, json.py:7 parse [3f9a01c2] from KeyError at - [8c4410de]
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import PurePath
from types import TracebackType
from typing import Any, Final

MAX_FRAMES: Final = 8
"""Maximum number of code locations per exception, innermost first."""
MAX_CAUSES: Final = 4

logger = logging.getLogger("scribe_proxy.failures")


def trace_of(error: BaseException) -> str:
    """Return the type of an error and of its causes, each with its innermost code locations and its fingerprint.

    Errors of the same type at the same locations have the same fingerprint.
    """
    return " from ".join(map(_describe, _chain(error)))


def hide_messages() -> None:
    """Report uncaught exceptions of threads and of the interpreter in the form of `trace_of`."""
    sys.excepthook = _report
    threading.excepthook = lambda args: _report(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _report(args.exc_type, args.exc_value, args.exc_traceback)


def report_unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report errors that reach the event loop; an exception handler for the loop."""
    error = context.get("exception")
    if error is not None:
        logger.error("an error in the event loop: %s", trace_of(error))
    else:
        logger.error("an error in the event loop")


def _report(_: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        sys.__excepthook__(type(error), error, trace)
    elif error is not None:
        logger.error("uncaught: %s", trace_of(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    following: BaseException | None = error
    for _ in range(MAX_CAUSES):
        if following is None:
            return
        yield following
        following = following.__cause__


def _describe(error: BaseException) -> str:
    name, locations = type(error).__name__, _locations(error)
    fingerprint = hashlib.sha256(f"{name} {locations}".encode()).hexdigest()[:8]
    return f"{name} at {locations} [{fingerprint}]"


def _locations(error: BaseException) -> str:
    frames = traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), limit=-MAX_FRAMES, lookup_lines=False
    )
    return ", ".join(f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames) or "-"
