"""An HTTP answer in place of a WebSocket's 101, in its framing."""

from __future__ import annotations

import asyncio

from proxy.server.response import BODILESS, ResponseFramer
from proxy.types import RawHeaders


class HandshakeRefusal:
    """An HTTP answer instead of a 101. It is chunked if its length is unknown, so that truncation is noticed.

    `broken`: the body does not have the announced length.
    """

    def __init__(self, status: int, headers: RawHeaders) -> None:
        """Check the head. Raises `InvalidResponse`."""
        self._status, self._headers = status, headers
        self._framer = self._create_framer(headers)
        self.begun = self.complete = False
        self.writable = asyncio.Event()
        self.writable.set()

    @property
    def broken(self) -> bool:
        return self._framer.broken

    def frame(self, body: bytes, more: bool) -> bytes:
        """Return the next part in its framing; the first one includes the head."""
        if self.begun:
            return self._framer.frame(body, more=more)
        self.begun = True
        named = any(name.lower() == b"content-length" for name, _ in self._headers)
        if not (named or more or self._status in BODILESS):
            self._framer = self._create_framer([*self._headers, (b"content-length", b"%d" % len(body))])
        return self._framer.head + self._framer.frame(body, more=more)

    def _create_framer(self, headers: RawHeaders) -> ResponseFramer:
        return ResponseFramer("GET", "1.1", self._status, headers, keep_alive=False)
