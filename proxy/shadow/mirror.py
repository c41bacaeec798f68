"""Record one mirrored request in the gateway process and pass it to the shadow."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Final, Literal, NamedTuple, Protocol

from starlette.types import Message, Receive, Scope

from common.failure_trace import trace_of
from proxy.comparison.exchange import AnswerObserver, Exchange, ExchangeRecorder, OpenAccount
from proxy.comparison.exchanges import unanswered
from proxy.comparison.verdicts import Reason
from proxy.config.models import Route
from proxy.gateway import bucketing
from proxy.gateway.request_context import context_of
from proxy.gateway.scope import first_header, request_target
from proxy.server.memory_budget import BUDGET_KEY, MemoryBudget
from proxy.shadow.messages import AnsweredRead, ConnectionInfo, RequestSnapshot
from proxy.types import Backend, HeaderFields

logger = logging.getLogger("scribe_proxy")


class ShadowSink(Protocol):
    """Receiver of recorded requests: `Submissions`, or a recorder in tests."""

    def submit_read(self, route: str, served: Backend, connection: ConnectionInfo, exchange: Exchange) -> None:
        """Submit a read that `served` has answered for comparison."""

    async def dry_run(self, route: str, request: RequestSnapshot) -> int | None:
        """Run a write dry and wait for the end; return its number, None if nothing will be compared."""

    def submit_legacy_answer(self, number: int, exchange: Exchange) -> None:
        """Submit the exchange with legacy of a write that ran dry."""

    def discard(self, number: int, reason: Reason) -> None:
        """Skip the comparison of a write that ran dry."""

    def skip(self, route: str, served: Backend, reason: Reason) -> None:
        """Count a request that is not compared."""


class ServedRequest(Protocol):
    """A request as its mirror reads it. The scope may be created at its first use.

    `started` and `headed` are the times, as `time.perf_counter` returns them, of its begin and of the answer's.
    """

    kind: Literal["http", "websocket"]
    method: str
    caller: int | None
    started: float
    headed: float

    @property
    def scope(self) -> Scope: ...

    def request_snapshot(self) -> RequestSnapshot:
        """Return the request without its body, as backends receive it."""


class MirroredRequest(Protocol):
    """A request to compare: wraps `receive` and observes the answer while a backend serves it.

    `capture` records the messages that the backend sends; None if they are not needed.
    """

    @property
    def capture(self) -> AnswerObserver | None: ...

    async def prepare(self) -> None:
        """Do the work that precedes the request: a write's dry run. Await this before calling the backend."""

    async def receive(self) -> Message:
        """Receive the next message of the client. Pass this to the backend as its `receive`."""

    def end(self, backend: Backend, failure: str | None) -> None:
        """Submit the exchange once the answer of `backend` has ended; `failure` is the code of an incomplete one."""


class RequestMirror(Protocol):
    """The shadow as the gateway uses it: `ShadowClient`, or a recorder in tests."""

    def mirror(
        self, route: Route, decision: bucketing.Decision, request: ServedRequest, receive: Receive
    ) -> MirroredRequest | None:
        """Begin to mirror a request or a WebSocket. Return None if it is not sampled or is skipped."""

    def mirror_direct(self, read: DirectRead) -> None:
        """Mirror a read that was served without a task, unless it is not sampled or is skipped."""


class DirectRead(NamedTuple):
    """A read without a body that was served without a task, and its whole answer: references only."""

    route: Route
    decision: bucketing.Decision
    request: ServedRequest
    status: int
    headers: HeaderFields
    body: bytes

    def answered(self, number: int, deadline: float) -> AnsweredRead:
        """Return the read as the shadow process gets it."""
        request = self.request
        method, target, headers, _, connection = request.request_snapshot()
        return AnsweredRead(
            number,
            self.route.name,
            self.decision.backend,
            tuple(connection),
            deadline,
            method,
            target,
            headers,
            self.status,
            self.headers,
            self.body,
            epoch_time(request.started),
            request.headed - request.started,
        )

    def submit(self, sink: ShadowSink, limit: int) -> None:
        """Submit a read whose body is longer than `limit`, with digests of it."""
        request = self.request
        recorder = ExchangeRecorder(request.scope, limit, began=(epoch_time(request.started), request.started))
        recorder.sent({"type": "http.response.start", "status": self.status, "headers": self.headers})
        recorder.sent({"type": "http.response.body", "body": self.body})
        connection = request.request_snapshot().connection
        sink.submit_read(self.route.name, self.decision.backend, connection, recorder.exchange())

    def __repr__(self) -> str:
        return f"DirectRead({self.route.name}, {self.status})"


class MirroredRead:
    """A read, submitted for comparison once its answer is complete."""

    def __init__(self, sink: ShadowSink, route: str, request: ServedRequest, receive: Receive, limit: int) -> None:
        self._sink, self._route, self._request, self._receive = sink, route, request, receive
        began = epoch_time(request.started), request.started
        self.capture: Final = ExchangeRecorder(request.scope, limit, _opener(request.scope), began=began)

    async def prepare(self) -> None:
        return

    async def receive(self) -> Message:
        message = await self._receive()
        self.capture.received(message)
        return message

    def end(self, backend: Backend, failure: str | None) -> None:
        exchange = self.capture.exchange(failure)
        reason = unanswered(exchange.outcome)
        if reason is not None:
            self._sink.skip(self._route, backend, reason)
        else:
            self._sink.submit_read(self._route, backend, self._request.request_snapshot().connection, exchange)


def epoch_time(moment: float) -> float:
    """Return the seconds since the epoch at a moment of `time.perf_counter`."""
    return time.time() - (time.perf_counter() - moment)


class MirroredDryRun:
    """A write that legacy serves: buffered, run dry on native, then served and compared.

    The messages received for the dry run are replayed to legacy unchanged, one by one.
    """

    def __init__(self, sink: ShadowSink, route: str, scope: Scope, receive: Receive, limit: int) -> None:
        self.capture: ExchangeRecorder | None = None
        self._sink, self._route, self._scope, self._receive = sink, route, scope, receive
        self._limit = limit
        self._buffered: deque[Message] = deque()
        self._number: int | None = None

    async def prepare(self) -> None:
        body = await self._read_body()
        if not isinstance(body, bytes):
            self._sink.skip(self._route, "legacy", body)
            return
        self._number = await self._sink.dry_run(self._route, snapshot_of(self._scope, body))
        if self._number is not None:
            self.capture = ExchangeRecorder(self._scope, self._limit, _opener(self._scope), by_role=True)

    async def receive(self) -> Message:
        message = self._buffered.popleft() if self._buffered else await self._receive()
        if self.capture is not None:
            self.capture.received(message)
        return message

    def end(self, backend: Backend, failure: str | None) -> None:
        if self._number is None or self.capture is None:
            return
        if backend == "legacy":
            self._sink.submit_legacy_answer(self._number, self.capture.exchange(failure))
        else:
            self.capture.close()
            self._sink.discard(self._number, "backend_unavailable")  # legacy was down: native served as the fallback

    async def _read_body(self) -> bytes | Reason:
        """Receive the whole body and buffer its messages. Return a reason if a dry run is impossible."""
        if int(first_header(self._scope["headers"], b"content-length") or 0) > self._limit:
            return "body_too_large"
        chunks: list[bytes] = []
        length, more = 0, True
        while more:
            message = await self._receive()
            self._buffered.append(message)
            if message["type"] == "http.disconnect":
                return "client_gone"
            chunks.append(message.get("body", b""))
            length += len(chunks[-1])
            if length > self._limit:
                return "body_too_large"
            more = message.get("more_body", False)
        return b"".join(chunks)


def _opener(scope: Scope) -> OpenAccount | None:
    """Return a function that opens an account in the process's memory budget; None without a budget."""
    budget = budget_of(scope)
    return budget.open if budget is not None else None


def budget_of(scope: Scope) -> MemoryBudget | None:
    """Return the memory budget of the process; None if it has none."""
    budget: MemoryBudget | None = scope.get("state", {}).get(BUDGET_KEY)
    return budget


def snapshot_of(scope: Scope, body: bytes = b"") -> RequestSnapshot:
    """Return the request of an ASGI scope."""
    headers = tuple((bytes(name), bytes(value)) for name, value in scope["headers"])
    return RequestSnapshot(scope["method"], request_target(scope), headers, body, connection_info_of(scope))


def connection_info_of(scope: Scope) -> ConnectionInfo:
    """Return the connection's part of an ASGI scope."""
    get, context = scope.get, context_of(scope)
    return ConnectionInfo(
        get("scheme", "http"),
        get("http_version", "1.1"),
        get("client"),
        get("server"),
        context.request_id,
        get("proxy.template"),
        context.caller,
    )


class _MirrorErrors:
    """A context manager that logs errors of mirroring, which do not affect the request.

    It is a class because a generator would cost each request some microseconds.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        logger.error("mirroring failed, which does not affect the answer: %s", trace_of(error))
        return True


MIRROR_ERRORS: Final = _MirrorErrors()
