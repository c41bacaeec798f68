"""The access log: one JSON line for each request, without content of the request.

For speed, lines are rendered and passed to the writer together, at most `FLUSH_AFTER` seconds late.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from common.log_lines import timestamp
from proxy.gateway.request_record import RequestRecord

FLUSH_AFTER = 0.25
"""Maximum delay of a line in seconds."""
FLUSH_AT = 200
"""Number of collected lines that are written immediately, without waiting for `FLUSH_AFTER`."""


class AccessLog:
    """An `Observer` that passes lines to `write`, which must not block. Call `flush` at shutdown.

    Records are collected unrendered; `flush` renders them. While not `enabled`, records are dropped.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._records: list[tuple[RequestRecord, float]] = []
        self._timer: asyncio.TimerHandle | None = None
        self.enabled = True

    def __call__(self, record: RequestRecord) -> None:
        if not self.enabled:
            return
        self._records.append((record, time.time()))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER, self.flush)
        elif len(self._records) >= FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        """Pass the collected lines to the writer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._records:
            records, self._records = self._records, []
            self._write("".join([render(record, ended) for record, ended in records]))


def render(record: RequestRecord, now: float) -> str:
    """Return the line of one request that ended at `now` (seconds since the epoch). Times are in milliseconds.

    Values that need escaping are encoded once and cached; the others are numbers and the request id.
    """
    line = _LINE % (
        timestamp(now),
        record.request_id,
        _describe(record.kind, record.method, record.route, record.template, record.backend, record.reason),
        record.status,
        record.head * 1000,
        record.total * 1000,
    )
    if record.bucket is not None:
        line += f',"bucket":{record.bucket}'
    if record.failure is not None or record.cause is not None:
        line += _describe_failure(record.failure, record.cause)
    return line + "}\n"


_LINE: Final = '{"time":"%s","id":"%s",%s,"status":%d,"head_ms":%.2f,"total_ms":%.2f'


@lru_cache(maxsize=4096)
def _describe(kind: str, method: str, route: str | None, template: str | None, backend: str, reason: str) -> str:
    """Return the members whose values come from the configuration, so that few combinations exist."""
    members = {"kind": kind, "method": method, "route": route or "-", "template": template or "-"}
    return json.dumps({**members, "backend": backend, "reason": reason}, separators=(",", ":"))[1:-1]


@lru_cache(maxsize=256)
def _describe_failure(failure: str | None, cause: str | None) -> str:
    members = {name: value for name, value in (("failure", failure), ("cause", cause)) if value is not None}
    return "," + json.dumps(members, separators=(",", ":"))[1:-1]
