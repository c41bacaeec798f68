"""A WebSocket protocol for uvicorn that answers handshakes like Node's `ws` and adds no headers of its own.

It does not extend uvicorn's protocol, of which nothing would remain. That protocol loses a request's exact target,
compresses, adds `Date` and `Content-Type`, buffers the body of a refusal, logs the query, closes with 1012, reports
every end as 1005, and treats a peer as dead while its pong is unread. uvicorn's HTTP protocol needs only the methods
defined here.

    head ─▶ refused (400, 405) like an invalid handshake by `ws`
         └▶ app ─▶ refused (websocket.http.response, or 403 for a close)
               ├─▶ accepted: messages, through a `Peer`
               └─▶ accepted with a `Relay`: bytes in both directions

The last one is the ASGI extension `proxy.relay`: an app that finds it in the scope's `extensions` may accept with
`{"type": "websocket.accept", "proxy.relay": Relay}`. It then neither receives nor sends messages, but waits for
`Relay.ended`.

The extension `proxy.packet` has the function `is_over`: await it after a message to know whether all that arrived
together with it was received (`Peer.is_packet_over`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote

from starlette.types import Message, Scope
from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState
from websockets.utils import accept_key

from common.cancellation import ends_task
from common.failure_trace import trace_of
from proxy.gateway.errors import Failure, error_response
from proxy.server.exchange import expect_message
from proxy.server.half_close import INTERIM_PROBE, start_probes
from proxy.server.memory_budget import BUDGET_KEY, MemoryAccount, MemoryBudget
from proxy.server.response import InvalidResponse
from proxy.server.timeouts import timeouts_in_force
from proxy.server.websocket_handshake import accepting_head, find_fault, joined_value, read_head
from proxy.server.websocket_refusal import HandshakeRefusal
from proxy.types import RawHeaders
from proxy.websocket.link import Timing, drain_delay
from proxy.websocket.peer import ABNORMAL, GOING_AWAY, INTERNAL_ERROR, TRY_AGAIN_LATER, Closed, Peer, PeerGone
from proxy.websocket.relay import Relay

logger = logging.getLogger("scribe_proxy")

MAX_EARLY_BYTES = 64 * 1024
"""Bytes of a client that is not accepted yet at which reading is paused. RFC 6455 §4.1 forbids such bytes."""
_RANDOM = random.SystemRandom()
REFUSAL_LINGER = 5.0
"""Seconds for a refused client to read its answer."""


class WebSocketProtocol(asyncio.Protocol):
    """One client connection, from its handshake on.

    `random_fraction` returns a number in [0, 1), which determines the time of its close within the drain time.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        random_fraction: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self._random_fraction = random_fraction
        self._config, self._app_state = config, app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._connections = cast("set[object]", server_state.connections)
        self._tasks = server_state.tasks
        timeouts = timeouts_in_force(app_state)
        self._timing = Timing(
            timeouts.websocket_ping_interval, timeouts.websocket_ping_timeout, timeouts.websocket_closing
        )
        self._transport: asyncio.Transport
        self._scope: Scope | None = None
        self._accept = b""
        self._early = bytearray()
        self._peer: Peer | None = None
        self._relay: Relay | None = None
        self._refusal: HandshakeRefusal | None = None
        self._connect_received = self._gone = self._is_leaving = False
        self._half_closed = self._is_closing = False
        self._account: MemoryAccount | None = None
        self._drain_timer: asyncio.TimerHandle | None = None
        self._decided = asyncio.Event()

    # -- asyncio.Protocol, up to the handshake's end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._scope is None:
            self._begin(data)
        elif self._refusal is None and not self._is_closing:
            self._early += data
            if len(self._early) > MAX_EARLY_BYTES:
                self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Complete the handshake: the client may have sent its messages already, and can still receive the answer."""
        self._half_closed = True
        start_probes(self._loop, self._transport.write, lambda: INTERIM_PROBE if self._is_undecided else None)
        return not self._is_closing

    @property
    def _is_undecided(self) -> bool:
        """True while the client waits for the answer to its handshake."""
        return self._peer is None and self._relay is None and self._refusal is None and not self._gone

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        if self._refusal is not None:
            self._refusal.writable.set()

    def pause_writing(self) -> None:
        if self._refusal is not None:
            self._refusal.writable.clear()

    def resume_writing(self) -> None:
        if self._refusal is not None:
            self._refusal.writable.set()

    def shutdown(self) -> None:
        """Close with 1001 at a random time within the drain time; a current handshake is completed first."""
        if self._drain_timer is None:
            delay = drain_delay(self._config.timeout_graceful_shutdown, self._random_fraction())
            self._drain_timer = self._loop.call_later(delay, self._go_away)

    def _go_away(self) -> None:
        self._is_leaving = True
        if self._peer is not None:
            self._peer.close(GOING_AWAY)
        if self._relay is not None:
            self._relay.go_away()

    def _leave(self) -> None:
        self._gone = True
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        self._decided.set()
        self._connections.discard(self)
        if self._account is not None:
            self._account.close()

    def _evict(self) -> None:
        """Close to release memory for others."""
        if self._peer is not None:
            self._peer.close(TRY_AGAIN_LATER)

    def _retain(self, size: int) -> bool:
        """Charge bytes of messages that the app holds; return False if the connection is closed instead."""
        if self._account is None or self._account.acquire(size):
            return True
        self._evict()
        return False

    def _release(self, size: int) -> None:
        """Release bytes that the app no longer holds."""
        if self._account is not None:
            self._account.release(size)

    # -- the handshake

    def _begin(self, head: bytes) -> None:
        method, target, headers = read_head(head)
        fault = find_fault(method, headers)
        self._scope = self._describe(target, headers)
        if fault is not None:
            status, text, extra = fault
            refusal = HandshakeRefusal(status, [(b"content-type", b"text/html"), *extra])
            self._transport.write(refusal.frame(text, more=False))
            self._close_refused()
            return
        self._accept = accept_key(joined_value(headers, b"sec-websocket-key").decode()).encode()
        task = self._loop.create_task(self._run(self._scope))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _describe(self, target: bytes, headers: RawHeaders) -> Scope:
        raw_path, _, query = target.partition(b"?")
        root_path = self._config.root_path
        offered = joined_value(headers, b"sec-websocket-protocol").decode("latin-1")
        return {
            "type": "websocket",
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(self._transport) else "ws",
            "server": get_local_addr(self._transport),
            "client": get_remote_addr(self._transport),
            "root_path": root_path,
            "path": root_path + unquote(raw_path),
            "raw_path": root_path.encode() + raw_path,
            "query_string": query,
            "headers": headers,
            "subprotocols": [name.strip() for name in offered.split(",")] if offered else [],
            "state": self._app_state.copy(),
            "extensions": {
                "websocket.http.response": {},
                "proxy.relay": {},
                "proxy.memory": {"retain": self._retain, "release": self._release},
                "proxy.packet": {"is_over": self._is_packet_over},
            },
            "proxy.target": target,
        }

    async def _run(self, scope: Scope) -> None:
        """Await the app, and complete its answer. A `Failure` is answered as by the gateway."""
        try:
            await self._config.loaded_app(scope, self._receive, self._send)
        except PeerGone:
            pass
        except BaseException as error:
            if ends_task(error):  # the graceful shutdown has timed out
                self._abort()
                raise
            if not isinstance(error, Failure):
                logger.error("the app failed: %s", trace_of(error))
            await self._finish(error if isinstance(error, Failure) else Failure(), INTERNAL_ERROR)
        else:
            await self._finish(Failure(), 1000)

    async def _finish(self, failure: Failure, code: int) -> None:
        if self._peer is not None:
            self._peer.close(code)
        elif self._relay is not None:
            self._relay.abort()
        elif self._refusal is not None:
            self._break_off(self._refusal)
        elif not self._gone:
            headers, body = error_response(failure, None, ())
            await self._refuse(failure.status, headers, body)

    def _break_off(self, refusal: HandshakeRefusal) -> None:
        """Close after an incomplete refusal; its head is sent in any case."""
        if not refusal.complete and not self._gone:
            self._transport.write(refusal.frame(b"", True))
            self._close_refused()

    # -- ASGI

    async def _receive(self) -> Message:
        if not self._connect_received:
            self._connect_received = True
            return {"type": "websocket.connect"}
        await self._decided.wait()
        if self._relay is not None:
            await self._relay.ended.wait()
        if self._peer is None:
            return {"type": "websocket.disconnect", "code": ABNORMAL, "reason": ""}
        message = await self._receive_message(self._peer)
        if isinstance(message, Closed):
            return {"type": "websocket.disconnect", "code": message.code, "reason": message.reason}
        return {"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message}

    async def _receive_message(self, peer: Peer) -> str | bytes | Closed:
        """Return the next message. The app counts as using it until it waits for another."""
        if self._account is None:
            return await peer.receive()
        self._account.in_use = False
        message = await peer.receive()
        self._account.in_use = True
        return message

    async def _is_packet_over(self) -> bool:
        """Return whether the app has received all messages that arrived together with the last one."""
        return self._peer is None or await self._peer.is_packet_over()

    async def _send(self, message: Message) -> None:
        """Send a message. Raises `PeerGone` (an OSError, as ASGI requires) if the client has disconnected."""
        kind = message["type"]
        if self._peer is not None:
            await self._send_open(self._peer, kind, message)
        elif self._relay is not None:
            raise RuntimeError(f"{kind} on a relayed WebSocket")
        elif self._refusal is not None:
            expect_message(kind, "websocket.http.response.body")
            await self._send_refusal(self._refusal, message.get("body", b""), message.get("more_body", False))
        elif self._gone:
            raise PeerGone
        elif kind == "websocket.accept":
            self._open(message)
        elif kind == "websocket.close":
            await self._refuse(403, [], b"")
        else:
            expect_message(kind, "websocket.http.response.start")
            self._refusal = HandshakeRefusal(message["status"], list(message.get("headers", ())))

    async def _send_open(self, peer: Peer, kind: str, message: Message) -> None:
        if kind == "websocket.close":
            peer.close(message.get("code", 1000), message.get("reason") or "")
            return
        expect_message(kind, "websocket.send")
        text = message.get("text")
        await peer.send(text if text is not None else message["bytes"])

    def _open(self, message: Message) -> None:
        subprotocol: str = message.get("subprotocol") or ""
        self._transport.write(accepting_head(self._accept, subprotocol, message.get("headers", ())))
        self._hand_over(message.get("proxy.relay"))
        self._early.clear()
        self._decided.set()
        if self._is_leaving:
            self._go_away()

    def _hand_over(self, relay: Relay | None) -> None:
        """Pass the connection to the peer or relay that uses it from then on."""
        early = bytes(self._early)
        if len(early) > MAX_EARLY_BYTES:
            self._transport.resume_reading()
        if relay is not None:
            self._relay = relay
            relay.join(self._transport, early, self._timing, self._leave)
        else:
            budget: MemoryBudget | None = self._app_state.get(BUDGET_KEY)
            self._account = budget.open(self._evict) if budget is not None else None
            self._peer = Peer(self._timing, self._config.ws_max_size, self._leave, self._account)
            self._peer.attach(self._transport, early)
        if self._half_closed and not cast("asyncio.Protocol", self._transport.get_protocol()).eof_received():
            self._transport.close()

    # -- a refusal

    async def _refuse(self, status: int, headers: RawHeaders, body: bytes) -> None:
        self._refusal = HandshakeRefusal(status, headers)
        await self._send_refusal(self._refusal, body, more=False)

    async def _send_refusal(self, refusal: HandshakeRefusal, body: bytes, more: bool) -> None:
        """Write a part of the answer."""
        await refusal.writable.wait()
        if self._gone:
            raise PeerGone
        self._transport.write(refusal.frame(body, more))
        if not more or refusal.broken:
            refusal.complete = True
            self._close_refused()
        if refusal.broken:
            raise InvalidResponse("the body does not have the length that Content-Length announces")

    def _close_refused(self) -> None:
        """Close after reading and dropping further bytes of the client: unread ones would reset the connection."""
        self._is_closing = True
        if not self._half_closed and self._transport.can_write_eof():
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
            self._transport.close()
        self._loop.call_later(REFUSAL_LINGER, self._abort)

    def _abort(self) -> None:
        if not self._gone:
            self._transport.abort()
