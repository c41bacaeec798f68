"""One JSON line a request, on standard output; medical data never reaches it, since an `Observation` holds none.

Lines are gathered and handed to the writer together, at most `FLUSH_AFTER` seconds late: one call for many requests.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

from proxy.gateway.request_record import RequestRecord
from proxy.observability.log_writer import timestamp

FLUSH_AFTER = 0.25
"""Seconds a line may wait for others."""
FLUSH_AT = 200
"""Lines that are written without waiting longer."""


class AccessLog:
    """An `Observer` that passes lines to `write`, which must not block. Call `flush` at shutdown."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, observation: RequestRecord) -> None:
        self._lines.append(render(observation, time.time()))
        if len(self._lines) >= FLUSH_AT:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            lines, self._lines = self._lines, []
            self._write("".join(lines))


def render(observation: RequestRecord, now: float) -> str:
    """The line of one request that ended at `now` (seconds since the epoch). Times are in milliseconds."""
    record: dict[str, str | int | float] = {
        "time": timestamp(now),
        "id": observation.request_id,
        "kind": observation.kind,
        "method": observation.method,
        "route": observation.route or "-",
        "template": observation.template or "-",
        "side": observation.backend,
        "reason": observation.reason,
        "status": observation.status,
        "head_ms": round(observation.head * 1000, 2),
        "total_ms": round(observation.total * 1000, 2),
    }
    if observation.bucket is not None:
        record["bucket"] = observation.bucket
    if observation.failure is not None:
        record["failure"] = observation.failure
    if observation.cause is not None:
        record["cause"] = observation.cause
    return json.dumps(record, separators=(",", ":")) + "\n"
