"""A circuit breaker for the database: while it is unavailable, operations fail immediately.

    closed ── TRIP_AFTER consecutive failures ──▶ open: every operation fails immediately
      ▲                                            │
      └─────────── a probe succeeds ◀──────────────┘  (in the background, every PROBE_INTERVAL)

The driver runs each operation in one of a few threads, which waits for a server to return. Operations therefore
queue here, where waiting costs no thread, and each is limited by the timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Final, TypeVar

from handlers.storage.errors import UnavailableError

T = TypeVar("T")

logger = logging.getLogger(__name__)

TRIP_AFTER: Final = 3
PROBE_INTERVAL: Final = 0.25
"""Seconds between two probes."""
MAX_CONCURRENT: Final = 16
"""Concurrent operations: slightly more than the driver has threads."""


class CircuitBreaker:
    """Runs operations that raise `UnavailableError` without a database, as `probe` does. `timeout`: seconds."""

    def __init__(self, probe: Callable[[], Awaitable[None]], timeout: float) -> None:
        self._probe = probe
        self._timeout = timeout
        self._failures = 0
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Return whether the database is known to be unavailable."""
        return self._probing is not None

    def require_closed(self) -> None:
        """Raise `UnavailableError` if the database is known to be unavailable."""
        if self.is_open:
            raise UnavailableError("the database is known to be unavailable")

    async def run(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Return an operation's result; raise `UnavailableError` immediately, or at the timeout, which cancels it."""
        self.require_closed()
        try:
            async with asyncio.timeout(self._timeout), self._slots:
                self.require_closed()
                result = await operation()
        except TimeoutError:
            self.record_failure()
            raise UnavailableError("the database did not answer in time") from None
        except UnavailableError:
            self.record_failure()
            raise
        self._failures = 0
        return result

    def record_failure(self) -> None:
        """Count a failure of the database; open after `TRIP_AFTER` consecutive ones."""
        self._failures += 1
        if self._failures >= TRIP_AFTER and self._probing is None:
            logger.warning("the database is unavailable: requests that need it are refused until it answers")
            self._probing = asyncio.get_running_loop().create_task(self._wait_for_answer(), context=Context())

    async def _wait_for_answer(self) -> None:
        while True:
            await asyncio.sleep(PROBE_INTERVAL)
            with contextlib.suppress(UnavailableError, TimeoutError):
                async with asyncio.timeout(self._timeout):
                    await self._probe()
                break
        self._failures = 0
        self._probing = None
        logger.warning("the database answers again")

    async def close(self) -> None:
        """Stop probing."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
            self._probing = None
