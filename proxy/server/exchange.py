"""One request and its answer, from the ASGI app's point of view.

    client ── body ─▶ add_body ─▶ receive ─▶ app
    client ◀─ bytes ─ Connection ◀─ send ─── app

The head of an answer is held back until the first part of its body, at most until the next iteration of the event loop,
so that a small answer takes one write.

An app with a method `begin` may serve a request without a task: it answers later by `respond`, or continues in a task
by `run_in_task`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol, cast

from starlette.types import ASGIApp, Message, Scope

from common.cancellation import ends_task
from common.failure_trace import trace_of
from proxy.gateway.client_connection import ClientConnection
from proxy.gateway.errors import Failure, error_response
from proxy.server.client_output import ClientOutput
from proxy.server.half_close import INTERIM_PROBE
from proxy.server.memory_budget import MemoryAccount
from proxy.server.request_head import RequestHead
from proxy.server.response import InvalidResponse, ResponseFramer, whole_response
from proxy.server.scopes import ScopeTemplate, raw_path_of
from proxy.types import HeaderFields

logger = logging.getLogger("scribe_proxy")

WRITE_STEP: Final = 64 * 1024
"""Bytes of an answer that are written at a time, each once the client has received enough of the previous ones."""
BODY_BUFFER: Final = 64 * 1024
"""Bytes of a request body, not yet received by the app, from which reading is paused."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_BYTES: Final = (bytes, bytearray, memoryview)


class ExchangeConnection(ClientConnection, Protocol):
    """The client's connection, as used by an exchange."""

    output: ClientOutput
    scopes: ScopeTemplate

    def call_soon(self, flush: Any) -> None: ...
    def create_task(self, work: Coroutine[Any, Any, None]) -> None: ...
    def open_account(self) -> MemoryAccount | None: ...
    def body_taken(self) -> None: ...
    def may_persist(self, exchange: ServedExchange) -> bool: ...
    def answered(self, exchange: ServedExchange) -> None: ...
    def break_off(self) -> None: ...


BeginRequest = Callable[["ServedExchange"], Awaitable[None] | None]
"""Begins to serve a request. Returns an awaitable to run in a task, or None if the exchange is answered later."""


def begin_of(app: ASGIApp, server: tuple[str, int | None] | None = None) -> BeginRequest | None:
    """Return an app's method `begin`, or None.

    An app with a method `begin_for` chooses by the local address `server` of the connection.
    """
    begin_for = getattr(app, "begin_for", None)
    return cast("BeginRequest | None", begin_for(server) if begin_for is not None else getattr(app, "begin", None))


class ServedExchange:
    """One request and its answer."""

    # defaults that most requests never change are class attributes
    _account: MemoryAccount | None = None
    _awaited: asyncio.Event | None = None
    _framer: ResponseFramer | None = None
    _held = b""
    _size = 0
    _end_reported = False
    disconnected = over = in_task = begun = _persists = False
    """`begun`: the answer has begun, also while its first bytes are held back."""
    _retains_body = False
    _retained_size = _charged = 0
    waiting_since: float | None = None
    """The loop's time since which the app has waited for more of the body."""

    def __init__(self, connection: ExchangeConnection, head: RequestHead, *, whole: bool) -> None:
        """`whole`: the request has no body."""
        self.head = head
        self.connection = connection
        self.continue_owed = head.expects_continue
        self._body: list[bytes] = []
        self._whole = whole

    @property
    def raw_path(self) -> bytes:
        """The raw path of the request's scope."""
        return raw_path_of(self.head.target, self.connection.scopes.root_path)

    def scope(self) -> Scope:
        """Return a new ASGI scope of the request."""
        return self.connection.scopes.scope_of(self.head, self.connection)

    @property
    def account(self) -> MemoryAccount | None:
        """The memory account of the request, or None."""
        if self._account is None:
            self._account = self.connection.open_account()
        return self._account

    @property
    def keep_alive(self) -> bool:
        """True if the answer, once begun, leaves the connection open."""
        return self._framer.keep_alive if self._framer is not None else self._persists

    @property
    def ends_with_connection(self) -> bool:
        """True if the connection's end would complete the begun answer, at least for some clients."""
        return self._framer is not None and self._framer.ends_with_connection

    # -- the request's side

    def add_body(self, body: bytes, *, whole: bool) -> bool:
        """Add a part of the body; `whole` with the last one. Return True if the app has enough for now."""
        self.continue_owed = False  # the client did not wait for it (RFC 9110 §10.1.1)
        if body:
            self._body.append(body)
            self._size += len(body)
        self._whole = whole
        self._wake()
        return self._size > BODY_BUFFER and self._charge_body()

    def disconnect(self) -> None:
        """Report the client's disconnect to the app."""
        self.disconnected = True
        self._wake()

    def _wake(self) -> None:
        if self._awaited is not None:
            self._awaited.set()

    async def receive(self) -> Message:
        """Return the next part of the body, or the disconnect. ASGI `receive`."""
        if self.continue_owed and not (self.begun or self.disconnected):
            self.continue_owed = False
            self.connection.output.write(_CONTINUE)
        while not (self.disconnected or self.over or self._body or (self._whole and not self._end_reported)):
            if not self._whole and self.waiting_since is None:
                self.waiting_since = asyncio.get_running_loop().time()
            await self._wait()
        self.waiting_since = None
        if self.disconnected or self.over:
            return {"type": "http.disconnect"}
        body, self._body, self._size = b"".join(self._body), [], 0
        self._end_reported = self._whole
        if self._retains_body:
            self._retained_size += len(body)
        if not self._charge_body():
            return {"type": "http.disconnect"}
        if not self._whole:
            self.connection.body_taken()
        return {"type": "http.request", "body": body, "more_body": not self._whole}

    def retain_body(self, received: int) -> None:
        """Count the body as held by the app: the `received` bytes that it has, and what it receives from now on."""
        self._retains_body = True
        self._retained_size += received
        self._charge_body()

    def release_body(self) -> None:
        """Count nothing of the body as held by the app."""
        self._retains_body, self._retained_size = False, 0
        self._charge_body()

    def _charge_body(self) -> bool:
        """Charge to the memory account what the app holds, and what waits for it, if that is more than `BODY_BUFFER`.

        Return False if the budget has no room, so that the request was ended.
        """
        size = self._retained_size + (self._size if self._size > BODY_BUFFER else 0)
        more, self._charged = size - self._charged, size
        if not more or self.account is None:
            return True
        if more < 0:
            self.account.release(-more)
        elif not self.account.acquire(more):
            self.connection.evict("memory")
            return False
        return True

    async def _wait(self) -> None:
        if self._awaited is None:
            self._awaited = asyncio.Event()
        self._awaited.clear()
        await self._awaited.wait()

    def probe(self) -> bytes:
        """Return bytes that make a disconnected client's system reset the connection, and do not change the answer.

        They are empty if the protocol allows none at this time, or if written bytes wait for the client anyway.
        """
        if self.head.version != "1.1" or self.connection.output.is_paused or self._held:
            return b""
        return self._framer.probe() if self._framer is not None else INTERIM_PROBE

    # -- the answer's side

    def begin(self, app: ASGIApp, begin: BeginRequest | None) -> None:
        """Serve the request with `begin` if the app has it, otherwise with the app in a task."""
        try:
            work = begin(self) if begin is not None else app(self.scope(), self.receive, self.send)
        except Exception as error:
            logger.error("the app failed: %s", trace_of(error))
            work = self.fail()
        if work is not None:
            self.run_in_task(work)

    def run_in_task(self, work: Awaitable[None]) -> None:
        """Await the app, which continues with `receive` and `send`, in a task."""
        self.in_task = True
        self.connection.create_task(self._run(work))

    @property
    def is_alone(self) -> bool:
        """True if nothing follows the head, so that an immediate answer can be written directly."""
        return self._whole and not self.connection.output.is_paused

    def may_respond(self, size: int) -> bool:
        """Return True if an answer with a body of `size` bytes can be written in one step."""
        return size <= WRITE_STEP and not self.connection.output.is_paused

    def respond(self, status: int, headers: HeaderFields, added: HeaderFields, body: bytes) -> None:
        """Send a complete answer in one write; drop it for a disconnected client. Headers: see `ResponseFramer`."""
        if self.disconnected:
            return
        connection, head = self.connection, self.head
        keep_alive = connection.may_persist(self)
        whole = None
        if keep_alive and head.version == "1.1" and head.method != "HEAD":
            whole = whole_response(status, headers, added, body)
        if whole is not None:
            self._persists = True
        else:
            framer = ResponseFramer(head.method, head.version, status, headers, keep_alive=keep_alive, added=added)
            self._framer, whole = framer, framer.head + framer.frame(body, more=False)
        connection.output.write(whole)
        self.begun = self.over = True
        connection.answered(self)

    async def _run(self, work: Awaitable[None]) -> None:
        """Await the app, and complete an answer that it leaves incomplete."""
        try:
            await self._await(work)
        finally:
            if self._account is not None:
                self._account.close()

    async def _await(self, work: Awaitable[None]) -> None:
        try:
            await work
        except BaseException as error:
            if ends_task(error):  # the graceful shutdown has timed out
                self.connection.break_off()
                raise
            logger.error("the app failed: %s", trace_of(error))
        if self.over or self.disconnected:
            return
        if self.begun:
            self._flush()
            self.connection.break_off()  # the client must notice that the answer is incomplete
        else:
            await self.fail()

    async def fail(self) -> None:
        """Answer for an app that failed before it began to answer."""
        headers, body = error_response(Failure(), None, ())
        await self.send({"type": "http.response.start", "status": Failure.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def send(self, message: Message) -> None:
        """Send a part of the answer; drop it if the client has disconnected. ASGI `send`."""
        if self.connection.output.is_paused and not self.disconnected:
            await self.connection.output.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if self.over:
            raise RuntimeError(f"{kind} after the answer was complete")
        framer = self._framer
        if framer is not None:
            expect_message(kind, "http.response.body")
            body: bytes = message.get("body", b"")
            if not isinstance(body, _BYTES):
                raise InvalidResponse(f"a part of the body is {type(body).__name__} instead of bytes")
            if len(body) > WRITE_STEP:
                body = await self._send_large(framer, body)
            if not self.disconnected:
                self._send_body(framer, body, more=message.get("more_body", False))
        else:
            expect_message(kind, "http.response.start")
            self._start(message)

    async def _send_large(self, framer: ResponseFramer, body: bytes) -> bytes:
        """Send a large part, charged to the memory account, except its last step; return that step."""
        if self.account is None:
            return await self._send_steps(framer, body)
        if not self.account.acquire(len(body)):
            self.connection.evict("memory")
            return b""
        try:
            return await self._send_steps(framer, body)
        finally:
            self.account.release(len(body))

    async def _send_steps(self, framer: ResponseFramer, body: bytes) -> bytes:
        """Send all but the last step of a large part, each once the client has received enough; return the last."""
        rest = memoryview(body)
        while len(rest) > WRITE_STEP and not self.disconnected:
            self._send_body(framer, bytes(rest[:WRITE_STEP]), more=True)
            rest = rest[WRITE_STEP:]
            if self.connection.output.is_paused:
                await self.connection.output.drain()
        return bytes(rest)

    def _start(self, message: Message) -> None:
        keep_alive, head = self.connection.may_persist(self), self.head
        headers = list(message.get("headers", ()))
        framer = ResponseFramer(head.method, head.version, message["status"], headers, keep_alive=keep_alive)
        self._framer, self._held, self.begun = framer, framer.head, True
        self.connection.call_soon(self._flush)

    def _flush(self) -> None:
        held, self._held = self._held, b""
        if held and not self.disconnected:
            self.connection.output.write(held)

    def _send_body(self, framer: ResponseFramer, body: bytes, *, more: bool) -> None:
        framed = framer.frame(body, more=more)
        held, self._held = self._held, b""
        if held or framed:
            self.connection.output.write(held + framed)
        if more and not framer.broken:
            return
        self.over = True
        self._wake()
        self.connection.answered(self)
        if framer.broken:
            raise InvalidResponse("the body does not have the length that Content-Length announces")


def expect_message(kind: str, expected: str) -> None:
    """Raise RuntimeError if an app sends an unexpected kind of message."""
    if kind != expected:
        raise RuntimeError(f"{kind} where {expected} was due")
