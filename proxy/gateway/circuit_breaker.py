"""Circuit breaker of legacy: while legacy accepts no connections, requests fail without waiting.

    closed ── `failures` connection faults in a row ──▶ open ── after `pause` ──▶ one request probes ──▶ closed
                                                        ▲                                │
                                                        └──────────── a fault ───────────┘

Only connection faults count. A legacy that answers late or incorrectly, or that resets a connection, is reachable, and
further requests may succeed. A request that ends without an answer, because no connection is free or its client left,
proves nothing. A request that was sent before the breaker opened (`starting`) is still awaited.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.gateway.errors import CircuitOpen, LegacyFailure, NotConnected
from proxy.gateway.request_context import context_of
from proxy.gateway.starting import Progressed, StartedRequest, StartRequest, prepare_of
from proxy.gateway.timeouts import Timeouts
from proxy.types import HeaderFields

State = Literal["closed", "open", "probing"]


class CircuitBreaker:
    """An ASGI app in front of `legacy` that raises `CircuitOpen` while it is open.

    `failures` connection faults in a row open it; after `pause` seconds one request probes. `on_change` is called with
    True when it opens and False when it closes.
    """

    def __init__(
        self,
        legacy: ASGIApp,
        failures: int,
        pause: float,
        on_change: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._legacy: Final = legacy
        self._prepare: Final = prepare_of(legacy)
        self._allowed: Final = failures
        self._pause: Final = pause
        self._on_change: Final = on_change
        self._clock: Final = clock
        self._faults = 0
        self._opened = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """True while legacy counts as down."""
        return self._faults >= self._allowed

    @property
    def state(self) -> State:
        if not self.is_open:
            return "closed"
        return "probing" if self._probing else "open"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_probe = self._faults >= self._allowed and context_of(scope).started is None
        if is_probe:
            if self._probing or self._clock() - self._opened < self._pause:
                raise CircuitOpen
            self._probing = True
        waits = True

        def answered(message: Message) -> Awaitable[None]:
            nonlocal waits
            if waits:
                waits = False
                if self._faults:
                    self._reached(is_probe=is_probe)
            return send(message)

        try:
            await self._legacy(scope, receive, answered)
        except NotConnected:
            self._faulted()
            raise
        except LegacyFailure:
            if waits:
                self._reached(is_probe=is_probe)
            raise
        finally:
            if is_probe and waits:
                self._probing = False

    def prepare(
        self, method: str, target: bytes, headers: HeaderFields, timeouts: Timeouts | None
    ) -> StartRequest | None:
        """Prepare a request. Its start ends a row of faults; while the breaker is open, it does not start."""
        start = self._prepare(method, target, headers, timeouts) if self._prepare is not None else None
        if start is None:
            return None

        def start_if_closed(request_id: bytes, progressed: Progressed) -> StartedRequest | None:
            if self._faults >= self._allowed:
                return None
            started = start(request_id, progressed)
            if started is not None:
                self._faults = 0
            return started

        return start_if_closed

    def _reached(self, *, is_probe: bool) -> None:
        """End a row of faults. Only a probe closes an open breaker: other requests connected before it opened."""
        was_open = self.is_open
        if is_probe:
            self._probing = False
        if is_probe or not was_open:
            self._faults = 0
            if was_open:
                self._on_change(False)

    def _faulted(self) -> None:
        self._faults += 1
        if self.is_open:
            self._opened = self._clock()
        if self._faults == self._allowed:
            self._on_change(True)
