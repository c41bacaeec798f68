"""The listener's HTTP/1.1: one client connection, until it is closed or becomes a WebSocket.

    bytes ─▶ HeadParser ─▶ RequestHead ─┬─▶ ServedExchange ─▶ app        one at a time; pipelined requests wait
         └─▶ BodyDecoder ───────────────┤
                                        └─▶ WebSocketProtocol      with the remaining bytes
    bytes ◀─ ClientOutput ◀─ ServedExchange

uvicorn opens the sockets and creates an instance of this class per connection; it uses `connections`, `tasks` and
`shutdown`. Requests are parsed as by Node (`head_parser`, `request_head`, `body`), and refused with Node's answers. A
client that sends too slowly is refused (`request_deadline`), one that receives too slowly disconnected
(`client_output`).
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final, cast

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import ServerState

from proxy.fair_queue import LARGE, fair_queue_of
from proxy.read_flow import ReadFlow, call_after_arrivals
from proxy.server.body import BodyDecoder, decoder
from proxy.server.client_output import ClientOutput
from proxy.server.exchange import BeginRequest, ServedExchange, begin_of
from proxy.server.half_close import start_probes
from proxy.server.head_parser import HeadParser
from proxy.server.known_heads import KNOWN_HEADS_KEY
from proxy.server.memory_budget import BUDGET_KEY, MemoryAccount, MemoryBudget
from proxy.server.refusal import RefusedRequest, refusal
from proxy.server.request_deadline import RequestDeadline
from proxy.server.request_head import RequestHead
from proxy.server.scopes import ScopeTemplate
from proxy.server.timeouts import STATE_KEY, timeouts_in_force
from proxy.server.websocket_handover import hand_over

PIPELINE_BUFFER: Final = 64 * 1024
"""Bytes after the current request at which reading is paused."""
DRAIN_LIMIT: Final = 256 * 1024
"""Maximum bytes of a body that are read and dropped after an early answer; with more, the connection is closed."""

_OWN_STATE: Final = frozenset((STATE_KEY, BUDGET_KEY, KNOWN_HEADS_KEY))
"""Keys of the lifespan's state that belong to the listener, and are hidden from apps."""


class HttpProtocol(asyncio.Protocol):
    """One client connection."""

    _in_task = _reads_large = _advancing = False
    evicted_for: str | None = None

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self._config, self._server_state, self._app_state = config, server_state, app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._queue = fair_queue_of(self._loop)
        self._app = cast("ASGIApp", config.loaded_app)
        self._begin_request: BeginRequest | None = None
        self._timeouts = timeouts_in_force(app_state)
        self._deadline = RequestDeadline(self._loop, self._timeouts, self._expire)
        self._heads = HeadParser(app_state.get(KNOWN_HEADS_KEY))
        self._body: BodyDecoder | None = None
        self._exchange: ServedExchange | None = None
        self._rest = b""
        self._dropped = 0
        self._transport: asyncio.Transport
        self._input: ReadFlow
        self.output: ClientOutput
        self.scopes: ScopeTemplate
        self._half_closed = self._closing = self._leaving = False

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.output = ClientOutput(self._loop, self._transport, self._timeouts)
        cast("set[object]", self._server_state.connections).add(self)
        state = {key: value for key, value in self._app_state.items() if key not in _OWN_STATE}
        self.scopes = ScopeTemplate(self._transport, self._config, state)
        client = self.scopes.client
        self._input = ReadFlow(self._loop, self._transport, client and client[0], self._proceed, self._restart_body)
        self._begin_request = begin_of(self._app, self.scopes.server)
        self._deadline.await_head()

    def data_received(self, data: bytes) -> None:
        self._reads_large = len(data) >= LARGE
        if self._closing:
            self.output.input_received()
            if self._reads_large:
                self._input.resume_by_queue(large=True)
            return
        self._rest = self._rest + data if self._rest else data
        if self._queue.pass_is_long:
            self._input.resume_by_queue(large=self._reads_large)
        else:
            self._advance()

    def eof_received(self) -> bool:
        """Continue without further bytes: a pending answer is still sent."""
        self._half_closed = True
        if self._closing:
            self.output.close()
        elif self._body is not None or self._heads.begun:
            self._refuse(HTTPStatus.BAD_REQUEST)
        elif self._exchange is None:
            self._close()
        else:
            self._probe(self._exchange)
        return True

    def _probe(self, exchange: ServedExchange) -> None:
        """Detect the disconnect of a half-closed client that waits for its answer, or for more of it."""
        start_probes(self._loop, self.output.write, functools.partial(self._next_probe, exchange))

    def _next_probe(self, exchange: ServedExchange) -> bytes | None:
        """Return the bytes that the client of a current request may receive at this time; None after its end."""
        return exchange.probe() if exchange is self._exchange and not self._closing else None

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._leave()
        if self._exchange is not None:
            self._exchange.disconnect()
        self.resume_writing()

    def pause_writing(self) -> None:
        self.output.pause()

    def resume_writing(self) -> None:
        self.output.resume()

    def shutdown(self) -> None:
        """Complete the current request, or the next one of an idle client, and close. uvicorn's graceful shutdown.

        An idle client learns from `Connection: close` that no further request is served here. Without an answer it
        learns from the close itself, which a request on its way may cross.
        """
        self._leaving = True
        self.output.shutdown()
        if self._exchange is None and not self._closing:
            call_after_arrivals(self._loop, self._timeouts.drain, self._close_idle)

    def _close_idle(self) -> None:
        """Close unless a request has come; one that waits for its turn, or whose head has begun, is awaited."""
        if self._exchange is not None or self._closing:
            return
        if self._input.is_queued or self._heads.begun:
            call_after_arrivals(self._loop, self._timeouts.drain, self._close_idle)
        else:
            self._close()

    # -- reading

    def _advance(self) -> None:
        """Process the received bytes, as far as the current request allows."""
        self._advancing = True
        try:
            self._read_requests()
        except RefusedRequest as refused:
            self._refuse(refused.status)
        else:
            if self._body is not None and not self._closing:
                self._deadline.await_body()
        finally:
            self._advancing = False

    def _read_requests(self) -> None:
        """Begin requests until one is not answered immediately. Raises `RefusedRequest`."""
        while self._rest and not (self._closing or self._input.is_queued):
            if self._body is not None:
                self._read_body(self._body)
            elif self._exchange is None:
                self._read_head()
            else:
                if len(self._rest) > PIPELINE_BUFFER:
                    self._input.pause()
                return

    def _restart_body(self) -> None:
        if self._body is not None and not self._closing:
            self._deadline.restart_body()

    def _read_head(self) -> None:
        begins = not self._heads.begun
        if begins:
            self._deadline.begin_request()
        head, used = self._heads.feed(self._rest)
        self._rest = self._rest[used:] if used < len(self._rest) else b""
        if head is None:
            if begins:
                self._deadline.await_head()
            return
        if head.websocket:
            self._become_websocket(head)
        else:
            self._begin(head)

    def _begin(self, head: RequestHead) -> None:
        body = self._body = decoder(head.length) if head.length != 0 else None
        exchange = self._exchange = ServedExchange(self, head, whole=body is None)
        self._deadline.clear()
        if body is not None:
            self._deadline.begin_body()
        exchange.begin(self._app, None if self._in_task else self._begin_request)
        if self._half_closed and exchange is self._exchange:
            self._probe(exchange)

    def create_task(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a part of the current request."""
        task = self._loop.create_task(work)
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    def open_account(self) -> MemoryAccount | None:
        """Return a new account in the memory budget, or None without a budget."""
        budget: MemoryBudget | None = self._app_state.get(BUDGET_KEY)
        return budget.open(lambda: self.evict("memory")) if budget is not None else None

    def retain_body(self, received: int = 0) -> None:
        if self._exchange is not None:
            self._exchange.retain_body(received)

    def release_body(self) -> None:
        if self._exchange is not None:
            self._exchange.release_body()

    def _read_body(self, body: BodyDecoder) -> None:
        content, used = body.feed(self._rest)
        self._rest = self._rest[used:] if used < len(self._rest) else b""
        self._deadline.body_received(used)
        if body.complete:
            self._body = None
            self._deadline.clear()
        exchange = self._exchange
        if exchange is None:
            self._drop(used, complete=body.complete)
        elif exchange.add_body(content, whole=body.complete) and not body.complete:
            self._input.pause()
        if self._rest and not body.complete:
            self._input.queue(large=True)

    def _drop(self, size: int, *, complete: bool) -> None:
        """Count bytes of a body that was answered early; after its last byte, the connection is free."""
        self._dropped += size
        if complete:
            self._rest_for_next()
        elif self._dropped > DRAIN_LIMIT:
            self._linger()

    def _become_websocket(self, head: RequestHead) -> None:
        self._closing = True
        self._leave()
        self._input.resume()  # the WebSocket protocol has its own flow control
        hand_over(
            head,
            self._rest,
            self._transport,
            self._config,
            self._server_state,
            self._app_state,
            half_closed=self._half_closed,
            leaving=self._leaving,
        )

    # -- the exchange's connection

    def call_soon(self, flush: Callable[[], None]) -> None:
        self._loop.call_soon(flush)

    def body_taken(self) -> None:
        if self._input.is_paused and self._reads_large:
            self._input.resume_by_queue(large=True)
        else:
            self._input.resume()

    def may_persist(self, exchange: ServedExchange) -> bool:
        """Return True if another request may follow an answer that begins now."""
        if not exchange.head.keep_alive or self._leaving or (self._half_closed and not self._rest):
            return False
        # A client whose body was not requested may or may not send it (RFC 9110 §10.1.1).
        return self._body is None or not (exchange.continue_owed or self._body.left > DRAIN_LIMIT)

    def answered(self, exchange: ServedExchange) -> None:
        """Continue after an answer: with the next request, with the rest of this one, or by closing."""
        self._server_state.total_requests += 1
        self._exchange = None
        if self._closing:
            return
        if not exchange.keep_alive or self._leaving:
            self._close()
            return
        self._dropped = 0
        if self._body is None:
            self._in_task = exchange.in_task  # still releasing resources: the next request needs a task, too
            self._rest_for_next()
            self._in_task = False
        self._input.resume()

    def _rest_for_next(self) -> None:
        """Wait for the next request, which may have arrived already."""
        self._deadline.await_next_request()
        if self._rest and self._queue.pass_is_long:
            self._input.resume_by_queue(large=False)
        elif not self._advancing:  # otherwise `_read_requests` continues: a pipeline of refusals must not recurse
            self._proceed()

    def _proceed(self) -> None:
        """Process the received bytes, and close if none can follow."""
        if self._rest:
            self._advance()
        if self._half_closed and self._exchange is None and not (self._closing or self._input.is_queued):
            self._close() if not self._heads.begun else self._refuse(HTTPStatus.BAD_REQUEST)

    def break_off(self) -> None:
        """Close during an answer, so that the client notices that it is incomplete."""
        if self._exchange is None:
            self._closing = True
            self.output.close()
        else:
            self._exchange.disconnect()
            self._cut_off(self._exchange)

    def _cut_off(self, exchange: ServedExchange) -> None:
        """Close during an answer. One that ends with the connection is incomplete only if that is reset."""
        self._closing = True
        if exchange.ends_with_connection:
            self.output.reset()
        else:
            self.output.close()

    # -- closing

    def _expire(self) -> None:
        """End a connection whose client took too long to send a head, a body, or another request."""
        if self._input.is_stopped or self._is_continue_owed:
            self._deadline.await_app()
        elif self._body is not None or self._heads.begun or not self._deadline.is_connection_used:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self._close()

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer with `status` if no answer has begun, disconnect the app, and close."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.disconnect()
        if exchange is None and self._body is not None:
            self._close()  # the answer was sent early
        elif exchange is not None and exchange.begun:
            self._cut_off(exchange)
        else:
            self.output.write(refusal(status))
            self._linger()

    @property
    def _is_continue_owed(self) -> bool:
        """True if the client waits for a 100 Continue, within the timeout of its request."""
        owed = self._exchange is not None and self._exchange.continue_owed
        return owed and self._deadline.is_within_request

    def _close(self) -> None:
        """Close once everything is written; linger if the client may still be sending."""
        if self._body is not None or self._rest or self._leaving:
            self._linger()
        else:
            self._closing = True
            self.output.close()

    def _linger(self) -> None:
        """Close, and drop all bytes until the client has closed too."""
        self._closing = True
        self._rest = b""
        self._deadline.close()
        self._input.resume()
        if self._half_closed:
            self.output.close()
        else:
            self.output.linger(at_exit=self._leaving)

    # -- slow readers, and limits

    @property
    def is_closing(self) -> bool:
        """True once no further part of an answer reaches the client."""
        return self._closing

    @property
    def stalled_since(self) -> float | None:
        """The loop's time since which the request has waited for the client; None if it does not wait."""
        if self.output.is_paused:
            return self.output.paused_at
        return self._exchange.waiting_since if self._exchange is not None else None

    def evict(self, limit: str) -> None:
        """End the current request: with a 503 if its answer has not begun, otherwise by closing the connection."""
        self.evicted_for = limit
        if self._exchange is None or self._exchange.begun:
            if self._exchange is not None:
                self._exchange.disconnect()
            self._closing = True
            self.output.reset()
        else:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)

    def _leave(self) -> None:
        self._deadline.close()
        self.output.stop()
        cast("set[object]", self._server_state.connections).discard(self)
