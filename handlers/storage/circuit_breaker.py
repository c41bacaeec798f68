"""A circuit breaker for the database: while it is unavailable, operations fail immediately.

    closed ── the database is unavailable ──▶ open: every operation fails immediately, running ones too
      ▲                                            │
      └─────────── a probe succeeds ◀──────────────┘  (in the background, every `probe_interval`)

The database is unavailable in each of these cases:

- `TRIP_AFTER` consecutive operations have failed;
- no operation has ended for `silence` seconds while some were running, and the driver knows that no server can be
  reached, or a probe fails.

The driver may run operations in a few threads, each of which waits until a server is reachable. Operations therefore
queue here, where waiting occupies no thread, and each is limited by the timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from common.background_tasks import BackgroundTasks
from common.late_timeout import LateTimeout
from handlers.storage.errors import UnavailableError

T = TypeVar("T")

logger = logging.getLogger(__name__)

TRIP_AFTER: Final = 3
MAX_CONCURRENT: Final = 16
"""Concurrent operations, if the driver sets no lower limit."""


@dataclass(frozen=True)
class BreakerTimings:
    """The times of a circuit breaker, in seconds.

    `silence`: a probe is sent when no operation has ended for this long while some are running. It is twice the time
    after which the driver checks a server again that an operation has found unusable: an operation that the driver
    repeats after one failure succeeds. `max_lag`: if the event loop is later than this, silence is attributed to this
    process and not to the database. `probe_interval`: between two probes.
    """

    silence: float = 1.0
    probe_timeout: float = 1.0
    probe_interval: float = 0.25
    max_lag: float = 0.1


class CircuitBreaker:
    """Runs operations, and refuses them while the database is unavailable. `probe` raises `UnavailableError` then.

    `timeout`: seconds. `is_unreachable` returns whether the driver knows that no server can be reached, without I/O.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        timeout: float,
        *,
        is_unreachable: Callable[[], bool] = bool,
        concurrency: int = MAX_CONCURRENT,
        timings: BreakerTimings = BreakerTimings(),
    ) -> None:
        self._probe = probe
        self._timeout = timeout
        self._is_unreachable = is_unreachable
        self._timings = timings
        self._failures = 0
        self._ended = 0
        self._slots = asyncio.Semaphore(concurrency)
        self._running: set[asyncio.Timeout] = set()
        self._silence: asyncio.TimerHandle | None = None
        self._is_confirming = False
        self._tasks = BackgroundTasks()
        self.is_open = False
        """True while the database is known to be unavailable."""

    def require_closed(self) -> None:
        """Raise `UnavailableError` if the database is known to be unavailable."""
        if self.is_open:
            raise UnavailableError("the database is known to be unavailable")

    async def run(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Return an operation's result; raise `UnavailableError` immediately, or at the timeout, which cancels it.

        The timeout starts again if this process was stopped or starved when it ended.
        """
        self.require_closed()
        timeout = LateTimeout(self._timeout, self._timings.max_lag)
        try:
            async with timeout as limit:
                result = await self._run(operation, limit)
        except TimeoutError:
            if not timeout.was_late:
                self.record_failure()
            raise UnavailableError("the database did not answer in time") from None
        except UnavailableError:
            if not timeout.was_late:
                self.record_failure()
            raise
        self._failures = 0
        return result

    async def _run(self, operation: Callable[[], Awaitable[T]], limit: asyncio.Timeout) -> T:
        self._running.add(limit)
        if self._silence is None:
            self._watch_for_silence()
        try:
            async with self._slots:
                return await operation()
        finally:
            self._running.discard(limit)
            self._ended += 1

    def _watch_for_silence(self) -> None:
        if self._running and self._silence is None and not self._is_confirming:
            loop = asyncio.get_running_loop()
            due = loop.time() + self._timings.silence
            self._silence = loop.call_at(due, self._judge_silence, due, self._ended)

    def _judge_silence(self, due: float, ended: int) -> None:
        loop = asyncio.get_running_loop()
        self._silence = None
        is_silent = self._running and self._ended == ended
        if is_silent and self._is_unreachable():
            self._open()
        elif is_silent and loop.time() < due + self._timings.max_lag:
            self._is_confirming = True
            self._tasks.start(self._confirm_silence())
        else:
            self._watch_for_silence()

    async def _confirm_silence(self) -> None:
        loop = asyncio.get_running_loop()
        ended, due = self._ended, loop.time() + self._timings.probe_timeout
        try:
            async with asyncio.timeout_at(due):
                await self._probe()
        except (UnavailableError, TimeoutError):
            if self._ended == ended and loop.time() < due + self._timings.max_lag:
                self._open()
        finally:
            self._is_confirming = False
            self._watch_for_silence()

    def record_failure(self) -> None:
        """Count a failure of the database; open after `TRIP_AFTER` consecutive ones."""
        self._failures += 1
        if self._failures >= TRIP_AFTER:
            self._open()

    def _open(self) -> None:
        if not self.is_open:
            logger.warning("the database is unavailable: requests that need it are refused until it answers")
            self.is_open = True
            self._tasks.start(self._wait_for_answer())
            now = asyncio.get_running_loop().time()
            for limit in self._running:
                if not limit.expired():
                    limit.reschedule(now)

    async def _wait_for_answer(self) -> None:
        while True:
            await asyncio.sleep(self._timings.probe_interval)
            with contextlib.suppress(UnavailableError, TimeoutError):
                async with asyncio.timeout(self._timeout):
                    await self._probe()
                break
        self._failures = 0
        self.is_open = False
        logger.warning("the database answers again")

    async def close(self) -> None:
        """Stop probing."""
        await self._tasks.stop()
        self._is_confirming = self.is_open = False
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
