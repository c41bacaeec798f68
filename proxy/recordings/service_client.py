"""Send recorded requests to one service, which may be starting or restarting."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from proxy.comparison.answers import DecodedAnswer
from proxy.recordings.model import RecordedRequest
from proxy.recordings.raw_http import Origin, exchange, reach

RESTART_TIMEOUT: Final = 15.0
"""Seconds for a service to accept connections again."""

OVERTIME: Final = 50
"""Number of probes, each of the time that one takes now, for which a late answer is waited for."""

_RETRY_DELAY: Final = 0.05
_GATEWAY_ERRORS: Final = (502, 503, 504)
_PROBE: Final = RecordedRequest("GET", "/")

T = TypeVar("T")


class ServiceUnreachable(Exception):
    """The service accepts no connections, or did not restart within the timeout."""


class ServiceClient:
    """A client of one service; requests without an answer within `hang_after` seconds are hangs.

    A slow answer on a busy machine is not a hang: it has further time, in which `OVERTIME` probes could be answered.
    """

    def __init__(self, base_url: str, hang_after: float, restart_timeout: float = RESTART_TIMEOUT) -> None:
        self.origin = Origin.parse(base_url)
        self._hang_after, self._restart_timeout = hang_after, restart_timeout

    async def reach(self) -> None:
        """Raise ServiceUnreachable if the service accepts no connections."""
        try:
            await reach(self.origin, self._hang_after)
        except OSError as error:
            raise self._unreachable(error) from error

    async def send(self, request: RecordedRequest) -> DecodedAnswer:
        """Return the answer to a request. Raises ServiceUnreachable."""
        return await self.connect(lambda: exchange(self.origin, request, self._hang_after, self._measure_overtime))

    async def _measure_overtime(self) -> float:
        """Return the seconds of `OVERTIME` probes; none if the service does not answer a probe either."""
        began = time.monotonic()
        answer = await exchange(self.origin, _PROBE, self._hang_after)
        return 0.0 if answer.outcome == "hang" else OVERTIME * (time.monotonic() - began)

    async def connect(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Repeat an attempt while connections are refused: nothing has been sent then. Raises ServiceUnreachable."""
        deadline = time.monotonic() + self._restart_timeout
        while True:
            try:
                return await attempt()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise self._unreachable(error) from error
            await asyncio.sleep(_RETRY_DELAY)

    def _unreachable(self, error: OSError) -> ServiceUnreachable:
        """Return the error with the system's text, because asyncio's repeats the address."""
        reason = os.strerror(error.errno) if isinstance(error, ConnectionError) and error.errno else str(error)
        return ServiceUnreachable(f"{self.origin.authority} cannot be reached: {reason or 'no connection in time'}")

    async def await_restart(self) -> None:
        """Wait until the service answers after a reset; a gateway before it answers with its own errors until then.

        Raises ServiceUnreachable.
        """
        deadline = time.monotonic() + self._restart_timeout
        while True:
            answer = await self.send(_PROBE)
            if answer.outcome == "response" and answer.status not in _GATEWAY_ERRORS:
                return
            if time.monotonic() > deadline:
                timeout = f"{self._restart_timeout:.0f} s"
                raise ServiceUnreachable(f"{self.origin.authority}: not back within {timeout} of a reset")
            await asyncio.sleep(_RETRY_DELAY)
