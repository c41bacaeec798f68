"""uvicorn's HTTP/1.1 protocol, refusing what Node refuses and keeping what a proxy must keep.

Both uvicorn (through httptools) and Node read requests with llhttp, so they agree on what is malformed. What differs
is added here: the exact request target (`scope["proxy.target"]`; uvicorn loses a bare `?` and a fragment), Node's
limit of 16 KiB for a request's head (431), its demand for a `Host`, its time limit for a head (408), and its way of
refusing: a bare status line, then the connection closes.
"""

from __future__ import annotations

import asyncio
from typing import cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from proxy.server.gathering import GatheringTransport

HEAD_LIMIT = 16 * 1024
"""Bytes of request line and headers: Node's --max-http-header-size."""
HEAD_TIMEOUT = 60.0
"""Seconds for a head to arrive whole: Node's server.headersTimeout."""

LINGER = 1.0
"""Seconds for a refused client to close its side."""

BAD_REQUEST = b"400 Bad Request"
REQUEST_TIMEOUT = b"408 Request Timeout"
HEAD_TOO_LARGE = b"431 Request Header Fields Too Large"


class HttpProtocol(HttpToolsProtocol):
    """One client connection."""

    _in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _refusal = BAD_REQUEST
    _refused = False
    _after_upgrade = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", GatheringTransport(transport, self.loop))
        self._plain_transport = transport

    def handle_websocket_upgrade(self) -> None:
        self.transport = self._plain_transport
        super().handle_websocket_upgrade()
        if self._after_upgrade:
            self.transport.get_protocol().data_received(self._after_upgrade)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._head_bytes = self._head_bytes + len(data) if self._in_head else len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._after_upgrade = data[upgrade.args[0] :]
                self.handle_websocket_upgrade()
        except httptools.HttpParserError:
            self._refuse(self._refusal)
        if self._in_head and self.parser is not None and not self._refused:
            self._await_rest_of_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_head_timer()
        if self._head_bytes > HEAD_LIMIT:
            self._measure_head()
        self.scope["proxy.target"] = self.url  # type: ignore[typeddict-unknown-key]
        if self.parser.get_http_version() == "1.1" and not any(name == b"host" for name, _ in self.headers):
            raise ValueError("a request without a Host")
        try:
            super().on_headers_complete()
        except (httptools.HttpParserInvalidURLError, AttributeError):
            self._serve_odd_target()

    def _serve_odd_target(self) -> None:
        """A target without a path (`*`, `http://host`): served under the path of that name, as Node does."""
        target, self.url = self.url, b"/"
        self.scope["proxy.target"] = target  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()
        self.scope["path"] = target.decode("ascii")
        self.scope["raw_path"] = target

    def _measure_head(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > HEAD_LIMIT:
            self._refusal = HEAD_TOO_LARGE
            raise ValueError("a head too large")

    def _await_rest_of_head(self) -> None:
        if self._head_bytes > HEAD_LIMIT:
            self._refuse(HEAD_TOO_LARGE)
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT, self._refuse, REQUEST_TIMEOUT)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def _refuse(self, status: bytes) -> None:
        """Answer, and close once the client has: closing on unread bytes would take it back (RFC 9112 §9.6)."""
        self._refused = True
        self.transport.write(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\n\r\n")
        self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.close)
