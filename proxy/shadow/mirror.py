"""One request that runs in the shadow, from the gateway's side: what is seen of it, and what is then made of that."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from starlette.types import Message, Receive, Scope

from proxy.comparison.exchange import ExchangeRecorder, RawExchange
from proxy.comparison.exchanges import unanswered
from proxy.comparison.verdicts import Reason
from proxy.gateway.scope import first_header, request_target
from proxy.shadow.messages import ConnectionInfo, RequestSnapshot
from proxy.types import Backend


class ShadowSink(Protocol):
    """Who takes what an attendance brings."""

    def read(self, route: str, served: Backend, arrival: ConnectionInfo, seen: RawExchange) -> None:
        """A read to be compared."""

    async def dry_run(self, route: str, asked: RequestSnapshot) -> int | None:
        """Have a write rehearsed, and wait for it; gives its number, None where nothing will be compared."""

    def served(self, number: int, seen: RawExchange) -> None:
        """What legacy did with a write that was rehearsed."""

    def forget(self, number: int, reason: Reason) -> None:
        """A write that was rehearsed, and yet cannot be compared."""

    def leave(self, route: str, served: Backend, reason: Reason) -> None:
        """A request that is skipped."""


class MirroredRequest(Protocol):
    """Stands by while a side serves. `capture` is to be shown what the side sends, where there is one."""

    @property
    def capture(self) -> ExchangeRecorder | None: ...

    async def prepare(self) -> None:
        """To be awaited before the side is; a dry run is what takes time here."""

    async def receive(self) -> Message:
        """To be given to the side in place of the client's."""

    def end(self, backend: Backend, failure: str | None) -> None:
        """The answer is complete, or will never be; `side` has given it, or failed with that code."""


class MirroredRead:
    """A read: the other side is asked once this one has answered."""

    def __init__(self, office: ShadowSink, route: str, scope: Scope, receive: Receive, limit: int) -> None:
        self.capture = ExchangeRecorder(scope, limit)
        self._office, self._route, self._scope, self._receive = office, route, scope, receive

    async def prepare(self) -> None:
        return

    async def receive(self) -> Message:
        message = await self._receive()
        self.capture.received(message)
        return message

    def end(self, backend: Backend, failure: str | None) -> None:
        seen = self.capture.seen(failure)
        reason = unanswered(seen.outcome)
        if reason is not None:
            self._office.leave(self._route, backend, reason)
        else:
            self._office.read(self._route, backend, connection_info_of(self._scope), seen)


class MirroredDryRun:
    """A write that legacy is about to serve: rehearsed first, once its body is there, and compared afterwards.

    What was received of the client on the way is received again by legacy, message by message.
    """

    def __init__(self, office: ShadowSink, route: str, scope: Scope, receive: Receive, limit: int) -> None:
        self.capture: ExchangeRecorder | None = None
        self._office, self._route, self._scope, self._receive = office, route, scope, receive
        self._limit = limit
        self._held: deque[Message] = deque()
        self._number: int | None = None

    async def prepare(self) -> None:
        body = await self._gather()
        if not isinstance(body, bytes):
            self._office.leave(self._route, "legacy", body)
            return
        headers = tuple((bytes(name), bytes(value)) for name, value in self._scope["headers"])
        asked = RequestSnapshot(
            self._scope["method"], request_target(self._scope), headers, body, connection_info_of(self._scope)
        )
        self._number = await self._office.dry_run(self._route, asked)
        if self._number is not None:
            self.capture = ExchangeRecorder(self._scope, self._limit)

    async def receive(self) -> Message:
        message = self._held.popleft() if self._held else await self._receive()
        if self.capture is not None:
            self.capture.received(message)
        return message

    def end(self, backend: Backend, failure: str | None) -> None:
        if self._number is None or self.capture is None:
            return
        if backend == "legacy":
            self._office.served(self._number, self.capture.seen(failure))
        else:
            self._office.forget(self._number, "backend_unavailable")  # legacy was down, and native took over

    async def _gather(self) -> bytes | Reason:
        """The request's body, or why there will be no dry run."""
        if int(first_header(self._scope["headers"], b"content-length") or 0) > self._limit:
            return "body_too_large"
        chunks: list[bytes] = []
        length, more = 0, True
        while more:
            message = await self._receive()
            self._held.append(message)
            if message["type"] == "http.disconnect":
                return "client_gone"
            chunks.append(message.get("body", b""))
            length += len(chunks[-1])
            if length > self._limit:
                return "body_too_large"
            more = message.get("more_body", False)
        return b"".join(chunks)


def connection_info_of(scope: Scope) -> ConnectionInfo:
    """How a request came."""
    get = scope.get
    return ConnectionInfo(
        get("scheme", "http"),
        get("http_version", "1.1"),
        get("client"),
        get("server"),
        get("proxy.request_id", b"-"),
        get("proxy.template"),
    )
