"""Log failures that no code handles as types, code locations and a fingerprint, without the messages of exceptions.

A native app runs in this process, so that asyncio and Python report its uncaught exceptions too. `hide_messages`
changes all these reports to the form of `common.failure_trace`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from types import TracebackType
from typing import Any

from common.failure_trace import trace_of

logger = logging.getLogger("scribe_proxy.failures")


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
