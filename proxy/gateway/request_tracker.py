"""One request in flight: its routing, and its response as it passes to the client."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Final, Literal

from starlette.types import Message, Scope, Send

from proxy.comparison.exchange import AnswerObserver
from proxy.gateway import bucketing
from proxy.gateway.admission import Kind, Slot
from proxy.gateway.client_connection import ClientConnection
from proxy.gateway.errors import Overloaded
from proxy.gateway.request_context import RequestContext, context_of
from proxy.gateway.request_record import CLIENT_CLOSED_REQUEST, RequestRecord
from proxy.gateway.routing import Match
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.gateway.sticky_cookie import is_private
from proxy.observability.tracing import Trace
from proxy.shadow.messages import RequestSnapshot
from proxy.shadow.mirror import MirroredRequest, snapshot_of
from proxy.types import Backend, HeaderFields, RawHeaders


class RequestTracker:
    """Routing and response of one request; adds the name of the backend to the response, and changes nothing else.

    `decision` names the backend that answers, which may change before the response begins; `on_fallback` is called with
    the new decision. `mirrored` is the request's part in the shadow. `capture` records a backend's messages, but not
    the gateway's own answers, for which `answered_by` is `gateway`. `refusal` is the limit that was reached, `caller`
    the caller's identity on routes with a guard. `request_id` is for the log, `backend_id` the `X-Request-Id` for
    backends. `ended`: the last part of an HTTP response was sent. Times are those of `time.perf_counter`.
    """

    # for speed, defaults that most requests never change are class attributes
    match: Match | None = None
    decision: bucketing.Decision
    limit = bucketing.UNLIMITED
    kind: Kind = "http"
    request_id = ""
    backend_id = b"-"
    caller: int | None = None
    connection: ClientConnection | None = None
    trace: Trace | None = None
    slot: Slot | None = None
    refusal: Overloaded | None = None
    client_send: Send
    sticky_cookie: bytes | None = None
    mirrored: MirroredRequest | None = None
    capture: AnswerObserver | None = None
    on_fallback: Callable[[bucketing.Decision], None] | None = None
    answered_by: Literal["gateway"] | None = None
    headed = 0.0
    status = CLIENT_CLOSED_REQUEST
    begun = ended = False
    failure: str | None = None
    cause: str | None = None
    dependency: str | None = None
    headers: RawHeaders

    def __init__(self, snapshot: RoutingSnapshot, scope: Scope, method: str) -> None:
        self.snapshot, self._scope, self.method = snapshot, scope, method
        self.kind, self.connection = scope["type"], context_of(scope).connection
        self.started = time.perf_counter()

    @property
    def scope(self) -> Scope:
        """The request's ASGI scope."""
        return self._scope

    @property
    def context(self) -> RequestContext:
        """The context in the scope."""
        return context_of(self.scope)

    def request_snapshot(self) -> RequestSnapshot:
        """Return the request without its body, as backends receive it."""
        return snapshot_of(self.scope)

    def describe(self, scope: Scope) -> None:
        """Write the tracker's data for backends and the shadow into a scope."""
        context = context_of(scope)
        context.request_id, context.caller = self.backend_id, self.caller
        context.client = self.slot.client if self.slot is not None else None
        if self.match is not None:
            route = self.match.route
            scope["proxy.template"] = route.template
            context.timeouts = self.snapshot.timeouts.get(route.name)

    @property
    def preflight(self) -> bool:
        return self.match is not None and self.match.preflight

    def fall_back(self, backend: Backend, reason: bucketing.Reason) -> None:
        """Let the other backend take over."""
        self.decision = bucketing.Decision(backend, reason, self.decision.bucket)
        if self.on_fallback is not None:
            self.on_fallback(self.decision)

    def record_eviction(self, evicted_for: str) -> None:
        """Record the limit for which the listener ended the request."""
        if self.failure is None:
            self.failure, self.cause = Overloaded.code, evicted_for
            if not self.begun:
                self.status = Overloaded.status

    async def send(self, message: Message) -> None:
        """Forward a part of the response, which has not begun for a client that left before. ASGI `send`."""
        is_first = not self.begun and not (self.connection is not None and self.connection.is_closing)
        if is_first:
            await self._send_first(message)
            return
        self._record(message)
        await self.client_send(message)
        if not message.get("more_body", False):
            self.ended = True

    async def _send_first(self, message: Message) -> None:
        """Forward the first message; if it is invalid or the client has left, the response has not begun.

        It is captured once the response has begun, but before a relay begins, whose first frames would be missed.
        """
        is_relay = "proxy.relay" in message
        if is_relay:
            self._record(message)
        begun = dict(message)
        self._begin(begun)
        try:
            await self.client_send(begun)
        except Exception:
            self.begun, self.status, self.headed = False, CLIENT_CLOSED_REQUEST, 0.0
            raise
        finally:
            if self.begun and not is_relay:
                self._record(message)

    def _record(self, message: Message) -> None:
        if self.capture is not None and self.failure is None:
            self.capture.sent(message)

    def _begin(self, message: Message) -> None:
        """Begin the response with the first message: a response, or an accepted or refused WebSocket."""
        kind = message["type"]
        if kind == "websocket.close":
            self.begin_response(403, (), dated=False)  # ASGI servers answer a close before an accept with 403
            return
        status = 101 if kind == "websocket.accept" else message["status"]
        headers = self.begin_response(status, message.get("headers", ()), dated=kind == "http.response.start")
        self._add_sticky_cookie(headers)
        message["headers"] = headers

    def begin_response(self, status: int, headers: Iterable[tuple[bytes, bytes]], *, dated: bool = True) -> RawHeaders:
        """Record that a response begins; return its headers with those that the gateway adds."""
        headers = list(headers)
        self.headers = [*headers, *self.add_headers(status, headers, dated=dated)]
        return self.headers

    def add_headers(self, status: int, headers: HeaderFields, *, dated: bool = True) -> RawHeaders:
        """Record that a response begins; return the headers that the gateway adds to it.

        Added are the backend and the request id, and the date if `dated` is set.
        """
        self.begun, self.status, self.headed = True, status, time.perf_counter()
        names = _recurring_names(headers) if isinstance(headers, tuple) else _names_of(headers)
        added: RawHeaders = []
        if self.snapshot.config.served_by:
            added.append(_SERVED_BY[self.answered_by or self.decision.backend])
            if b"x-request-id" not in names:
                added.append((b"x-request-id", self.request_id.encode()))
        if dated and b"date" not in names:
            added.append((b"date", _date()))
        return added

    def _add_sticky_cookie(self, headers: RawHeaders) -> None:
        if self.sticky_cookie is not None and self.answered_by is None and is_private(self.status, headers):
            headers.append((b"set-cookie", self.sticky_cookie))

    def record(self) -> RequestRecord:
        """Return the record of a request that ends now."""
        ended, decision, match = time.perf_counter(), self.decision, self.match
        route = match.route if match is not None else None
        return RequestRecord(
            self.request_id,
            self.kind,
            self.method,
            route.name if route is not None and match is not None and not match.preflight else None,
            route.template if route is not None else None,
            decision.backend,
            decision.reason,
            decision.bucket,
            self.status,
            self.failure,
            (self.headed or ended) - self.started,
            ended - self.started,
            self.cause,
            self.dependency,
            self.caller,
            400 <= self.status < 500 and self._is_declared(),
        )

    def _is_declared(self) -> bool:
        """Return True if a declared divergence describes native's 4xx."""
        is_guarded = self.match is not None and self.match.route.guard is not None
        if not self.begun or self.decision.backend != "native" or not is_guarded:
            return False
        operation = f"{self.method} {self.scope['raw_path'].decode('latin-1')}"
        return self.snapshot.declared.include(operation, self.status, self.scope["headers"], self.headers)


_SERVED_BY: Final = {name: (b"x-served-by", name.encode()) for name in ("legacy", "native", "gateway")}


def _names_of(headers: HeaderFields) -> frozenset[bytes]:
    return frozenset([name for name, _ in headers])


_recurring_names: Final = functools.lru_cache(maxsize=1024)(_names_of)


def _date() -> bytes:
    """Return the current time for an answer without `Date`: native's, or the gateway's own (RFC 9110 §6.6.1)."""
    return _formatted(int(time.time()))


@functools.lru_cache(maxsize=1)
def _formatted(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()
