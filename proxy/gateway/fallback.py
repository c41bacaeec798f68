"""Decide whether the other backend takes over a failed request, and hand it over.

No write is executed twice. Native takes over requests of any method that were never sent to legacy; legacy takes over
reads that native did not answer. Neither applies if the backend was chosen explicitly (pin, override), and native
does not take over if a guard or a person has capped its share. On a route with callers on both, each takes over the
preflights that the other fails.
"""

from __future__ import annotations

from starlette.types import Message, Receive, Scope, Send

from proxy.config.field_types import FULL
from proxy.config.inheritance import SAFE
from proxy.config.models import Route
from proxy.gateway.bucketing import UNLIMITED, Decision, Limit, share_in_force

FORCED_REASONS = frozenset(("pin", "pin-all", "override", "no-native", "exclude"))


def native_may(route: Route | None, decision: Decision, limit: Limit, *, preflight: bool = False) -> bool:
    """Return True if native takes over when legacy is unreachable; for a preflight, if native has any callers."""
    if route is None or decision.reason in FORCED_REASONS:
        return False
    if preflight and share_in_force(route, limit):
        return True
    return route.on_legacy_down == "native" and limit.cap == FULL


def legacy_may(
    route: Route | None, decision: Decision, scope: Scope, limit: Limit = UNLIMITED, *, preflight: bool = False
) -> bool:
    """Return True if legacy takes over when native does not answer; for a preflight, if legacy has any callers."""
    if route is None or decision.reason in FORCED_REASONS or scope["type"] != "http":
        return False
    shared = preflight and share_in_force(route, limit) < FULL
    return (shared or route.on_native_error == "legacy") and scope["method"] in SAFE and not _has_body(scope)


class ReplayableReceive:
    """A client's `receive` that stores the first message, so that a second backend can receive it too.

    One message is enough: a backend receives no further one before it has connected or failed, and a request without a
    body has only one.
    """

    __slots__ = ("_first", "_receive", "_taken")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._taken = 0
        self._first: Message | None = None

    async def __call__(self) -> Message:
        message = await self._receive()
        self._taken += 1
        self._first = message if self._taken == 1 else None
        return message

    async def again(self) -> Message:
        """Return a `receive` that starts again, for the other backend."""
        first, self._first = self._first, None
        return first if first is not None else await self._receive()


class ServerErrorFilter:
    """A `send` that forwards an answer unless it begins as a server error, which it drops; `failed` is then True."""

    __slots__ = ("_begun", "_send", "failed")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = self.failed = False

    async def __call__(self, message: Message) -> None:
        if not (self._begun or self.failed) and message["type"] == "http.response.start":
            self.failed = message["status"] >= 500
        if not self.failed:
            await self._send(message)
            self._begun = True


def _has_body(scope: Scope) -> bool:
    framing = {name: value for name, value in scope["headers"] if name in (b"content-length", b"transfer-encoding")}
    return framing.pop(b"content-length", b"0").strip(b"0") != b"" or bool(framing)
