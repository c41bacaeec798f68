"""Cache of parsed heads and header blocks. Clients repeat their headers byte for byte with other targets. Pure.

    GET /a?b HTTP/1.1 CRLF Host: h CRLF CRLF
    └─ request line ─┘└────── block ──────┘

A head is found here if its block has been parsed twice before, its method is common and its target begins with a
slash. All other heads go to the parser. A block's key is the bytes after the target, of a head that the parser
accepted as one complete head. A whole head that recurs, and arrives without further bytes, is one object for all its
requests.
"""

from __future__ import annotations

import re
from typing import Final

from proxy.server.recurrence import RecurringValues
from proxy.server.request_head import RequestHead

KNOWN_HEADS_KEY: Final = "proxy.known_heads"
"""The key of the lifespan's state that holds the `KnownHeads` of the server."""
MAX_SIZE: Final = 2048
"""Maximum bytes of a cached block."""
MAX_BLOCKS: Final = 512
"""Maximum number of cached blocks, and of whole heads; with `MAX_SIZE`, this bounds the memory."""

_END: Final = b"\r\n\r\n"
_METHODS: Final = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
_REQUEST_LINE: Final = re.compile(rb"(%b) (/[!-\"$-~]*) " % b"|".join(_METHODS))
"""A head up to the protocol. llhttp accepts every such target with any of the methods; a `#` is left to llhttp."""
_MAX_LINE: Final = 8192

_Meaning = tuple[str, tuple[tuple[bytes, bytes], ...], int | None, bool, bool, bool]
"""The fields of a `RequestHead` from `version` on."""


class WholeHeads(RecurringValues[bytes, tuple[RequestHead, int]]):
    """The cached whole heads of one server, with their sizes."""

    def find(self, data: bytes) -> tuple[RequestHead, int] | None:
        """Return the head of which `data` are all bytes; None if it is not cached."""
        return self._values.get(data)

    def add(self, data: bytes, head: RequestHead, size: int) -> None:
        """Cache the head of which `data` are all bytes, if it came before."""
        if size == len(data) <= MAX_SIZE and self._recurs(data):
            head.recurs = True
            self._cache(data, (head, size))


class KnownHeads(RecurringValues[bytes, _Meaning]):
    """The cached blocks of one server."""

    def __init__(self, size: int = MAX_BLOCKS) -> None:
        super().__init__(size)
        self._whole: Final = WholeHeads(size)

    def find(self, data: bytes) -> tuple[RequestHead, int] | None:
        """Return the head at the start of `data` with its size in bytes; None if it is not cached."""
        known = self._whole.find(data)
        if known is None:
            known = self._find_block(data)
            if known is not None:
                self._whole.add(data, *known)
        return known

    def _find_block(self, data: bytes) -> tuple[RequestHead, int] | None:
        line = _REQUEST_LINE.match(data, 0, _MAX_LINE)
        if line is None:
            return None
        at = line.end()
        end = data.find(_END, at, at + MAX_SIZE) + len(_END)
        meaning = self._values.get(data[at:end])
        if meaning is None:
            return None
        method, target = line.groups()
        return RequestHead(_METHODS[method], target, *meaning), end

    def add(self, data: bytes, head: RequestHead) -> None:
        """Cache the block of a head that the parser has read from exactly these bytes, if it came before."""
        line = _REQUEST_LINE.match(data, 0, _MAX_LINE)
        if line is None or len(data) - line.end() > MAX_SIZE or data.find(_END) != len(data) - len(_END):
            return
        block = data[line.end() :]
        if not self._recurs(block):
            return
        head.headers = tuple(head.headers)
        meaning = (
            *(head.version, head.headers, head.length),
            *(head.keep_alive, head.expects_continue, head.websocket),
        )
        self._cache(block, meaning)
