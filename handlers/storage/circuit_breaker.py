"""A circuit breaker for the database: while it is known to be away, nobody waits for it.

    closed ── TRIP_AFTER failures in a row ──▶ open: every operation fails at once
      ▲                                          │
      └────────── a probe is answered ◀──────────┘  (in the background, every PROBE_INTERVAL)

The driver does each operation in one of a few threads, and waits there for a server to come back. Operations
therefore take turns here, where waiting costs no thread, and none takes longer than its timeout.
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
"""Operations under way at once: somewhat more than the driver has threads."""


class CircuitBreaker:
    """Runs operations that raise `UnavailableError` while there is no database, as `probe` does. `timeout`: seconds."""

    def __init__(self, probe: Callable[[], Awaitable[None]], timeout: float) -> None:
        self._probe = probe
        self._timeout = timeout
        self._failures = 0
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the database is known to be away."""
        return self._probing is not None

    def require_closed(self) -> None:
        """Raise `UnavailableError` if the database is known to be away."""
        if self.is_open:
            raise UnavailableError("the database is known to be away")

    async def run(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Return what an operation gives; raise `UnavailableError` at once or by the timeout, cancelling it then."""
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
        """Count a failure of the database; open after `TRIP_AFTER` in a row."""
        self._failures += 1
        if self._failures >= TRIP_AFTER and self._probing is None:
            logger.warning("the database is away: requests that need it are refused until it answers")
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
