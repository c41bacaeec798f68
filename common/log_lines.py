"""Format records of `logging` as JSON lines, with the id of the request that a task serves."""

from __future__ import annotations

import json
import logging
import time
from contextvars import ContextVar
from functools import lru_cache
from typing import Final

from common.failure_trace import trace_of

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""The id in the access log of the request that the current task serves; empty outside of requests."""


class JsonFormatter(logging.Formatter):
    """Formatter of records as JSON lines: time in UTC, exceptions as `trace_of`, without their messages.

    `process` names the kind of process in each line, and `request` the request in whose task the record was made.
    """

    def __init__(self, process: str = "gateway") -> None:
        super().__init__()
        self._process: Final = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its newline."""
        line = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": self._process,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            line["request"] = request_id
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if error is not None:
            line["exception"] = trace_of(error)
        return json.dumps(line, ensure_ascii=False)


def timestamp(at: float) -> str:
    """Format seconds since the epoch as RFC 3339 in UTC, with milliseconds: `2026-11-22T14:05:09.123Z`."""
    return _format_millisecond(int(at * 1000))


@lru_cache(maxsize=4)
def _format_millisecond(at: int) -> str:
    seconds, milliseconds = divmod(at, 1000)
    return f"{_format_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=4)
def _format_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
