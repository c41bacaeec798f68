"""Serve requests that only legacy answers without a task: two callbacks from the parsed head to the written answer.

    head parsed ─▶ Gateway.begin ─▶ legacy's `start` ─▶ (event loop) ─▶ answer whole ─▶ `respond` ─▶ observers, shadow
                                                              └─▶ anything else ─▶ Gateway.run in a task

The task continues with the same request; nothing is sent twice.
"""

from __future__ import annotations

import logging
import time
from typing import Protocol

from starlette.types import Receive, Scope, Send

from common.failure_trace import trace_of
from proxy.gateway.direct_plan import DirectPlan
from proxy.gateway.origin import resolve_origin
from proxy.gateway.request_tracker import RequestTracker
from proxy.gateway.starting import StartedRequest, StartRequest
from proxy.server.exchange import ServedExchange
from proxy.shadow.messages import ConnectionInfo, RequestSnapshot
from proxy.types import HeaderFields, RawHeaders

logger = logging.getLogger("scribe_proxy")


class RequestRunner(Protocol):
    """The gateway, as used by a request without a task."""

    async def run(self, tracker: RequestTracker, scope: Scope, receive: Receive, send: Send) -> None:
        """Continue a request in a task."""

    def finish(self, tracker: RequestTracker) -> None:
        """Release what a request holds, and report it to the observers."""

    def mirror_direct(self, tracker: RequestTracker, status: int, headers: HeaderFields, body: bytes) -> None:
        """Submit a finished request to the shadow."""


class PlannedRequest(RequestTracker):
    """The tracker of a request with a plan. The scope is created only if a task is needed."""

    _own_scope: Scope | None = None

    def __init__(self, plan: DirectPlan, exchange: ServedExchange) -> None:
        self.snapshot, self.match, self.limit, self.decision, self._origin, *_ = plan
        self._exchange, self.connection = exchange, exchange.connection
        self.method = exchange.head.method
        self.started = time.perf_counter()

    @property
    def scope(self) -> Scope:
        """The request's ASGI scope, the same as for requests without a plan."""
        if self._own_scope is None:
            scope = self._own_scope = self._exchange.scope()
            resolve_origin(scope, self.snapshot.resolver)
            scope["headers"] = self._origin.passed
            self.describe(scope)
        return self._own_scope

    def request_snapshot(self) -> RequestSnapshot:
        """Return the request as backends receive it, without a scope."""
        head, origin, scopes = self._exchange.head, self._origin, self._exchange.connection.scopes
        connection = ConnectionInfo(
            origin.scheme,
            head.version,
            origin.client(scopes.client),
            scopes.server,
            self.backend_id,
            self.match.route.template if self.match is not None else None,
            self.caller,
        )
        return RequestSnapshot(self.method, head.target, origin.passed, b"", connection)


class DirectRequest:
    """A request in flight to legacy, without a task."""

    __slots__ = ("_exchange", "_gateway", "_tracker")

    def __init__(self, gateway: RequestRunner, tracker: RequestTracker, exchange: ServedExchange) -> None:
        self._gateway, self._tracker, self._exchange = gateway, tracker, exchange

    def start(self, start: StartRequest) -> bool:
        """Send the request; return False if legacy has no idle connection."""
        return start(self._tracker.backend_id, self._progressed) is not None

    def _progressed(self, started: StartedRequest) -> None:
        try:
            answer = started.finish()
            if answer is not None:
                self._answer(*answer)
            else:
                self._tracker.context.started = started
                scope, exchange = self._tracker.scope, self._exchange
                exchange.run_in_task(self._gateway.run(self._tracker, scope, exchange.receive, exchange.send))
        except Exception as error:
            logger.error("the gateway failed: %s", trace_of(error))
            self._exchange.run_in_task(self._exchange.fail())

    def _answer(self, status: int, headers: HeaderFields, body: bytes) -> None:
        added = self._tracker.add_headers(status, headers)
        if self._exchange.may_respond(len(body)):
            try:
                self._exchange.respond(status, headers, added, body)
            finally:
                self._finish(status, headers, body)
        else:
            self._exchange.run_in_task(self._send(status, headers, added, body))

    async def _send(self, status: int, headers: HeaderFields, added: RawHeaders, body: bytes) -> None:
        """Send an answer at the client's pace."""
        try:
            start = {"type": "http.response.start", "status": status, "headers": [*headers, *added]}
            await self._exchange.send(start)
            await self._exchange.send({"type": "http.response.body", "body": body})
        finally:
            self._finish(status, headers, body)

    def _finish(self, status: int, headers: HeaderFields, body: bytes) -> None:
        self._gateway.finish(self._tracker)
        self._gateway.mirror_direct(self._tracker, status, headers, body)
