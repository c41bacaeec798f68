"""An HTTP answer in place of a WebSocket's 101, in its framing."""

from __future__ import annotations

import asyncio

from proxy.server.websocket_handshake import response_head
from proxy.types import RawHeaders


class HandshakeRefusal:
    """An HTTP answer instead of a 101. It is chunked if its length is unknown, so that truncation is noticed."""

    def __init__(self, status: int, headers: RawHeaders) -> None:
        self._status = status
        self._headers = [header for header in headers if header[0].lower() != b"connection"]
        self._chunked = False
        self.begun = self.complete = False
        self.writable = asyncio.Event()
        self.writable.set()

    def frame(self, body: bytes, more: bool) -> bytes:
        """Return the next part in its framing; the first one includes the head."""
        head = b"" if self.begun else self._begin(None if more else len(body))
        if not self._chunked:
            return head + body
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return head + chunk + (b"" if more else b"0\r\n\r\n")

    def _begin(self, length: int | None) -> bytes:
        self.begun = True
        named = any(name.lower() == b"content-length" for name, _ in self._headers)
        if not named and self._status not in (204, 304):
            self._chunked = length is None
            framing = (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)
            self._headers.append(framing)
        return response_head(self._status, self._headers)
