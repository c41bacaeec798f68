"""Parse request heads from a stream: llhttp for the syntax, Node's limits for the size and the number of headers.

The parser receives one head at a time, and no byte after it. Bodies are decoded elsewhere (`body`), because httptools
skips the body of a request that offers an upgrade, reports trailers as headers and does not report the end of a
message.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import httptools

from proxy.server.known_heads import KnownHeads
from proxy.server.refusal import HEAD_LIMIT, MAX_HEADERS, RefusedRequest
from proxy.server.request_head import RequestHead, understand_head
from proxy.types import RawHeaders

_SPACE: Final = ord(" ")
_END: Final = b"\r\n\r\n"
_PROTOCOL_SIZE: Final = len(b" HTTP/1.1\r")
"""Number of bytes at the end of a request line that contain its protocol."""
_RAW_LIMIT: Final = 4 * HEAD_LIMIT
"""Maximum bytes of an incomplete head: of `a:CRLF`, the worst header, only one byte counts for Node's limit."""


class HeadParser:
    """Parser of the heads of one connection, each in any number of pieces.

    `known` caches heads of all connections of the server.
    """

    def __init__(self, known: KnownHeads | None = None) -> None:
        self._known = known if known is not None else KnownHeads()
        self._parser = httptools.HttpRequestParser(self)
        self._head: RequestHead | None = None
        self._refused: RefusedRequest | None = None
        self._target = b""
        self._headers: RawHeaders = []
        self._fed = 0
        self._tail = b""
        self._line: bytes | None = b""

    @property
    def begun(self) -> bool:
        """True between the first and the last byte of a head."""
        return self._fed > 0

    def feed(self, data: bytes) -> tuple[RequestHead | None, int]:
        """Consume the bytes that belong to the head. Return the head once it is complete, and the number of bytes.

        Raises `RefusedRequest`.
        """
        if self._fed:
            return self._feed_parts(data)
        known = self._known.find(data)
        if known is not None:
            return known
        if not self._is_ordinary(data):
            return self._feed_parts(data)
        self._fed, self._line = len(data), None
        self._feed(data)
        if self._head is not None:
            return self._take(data), len(data)
        self._tail = data[-3:]
        self._check_beginning()
        return None, len(data)

    def _feed_parts(self, data: bytes) -> tuple[RequestHead | None, int]:
        """Consume a head in pieces, or with bytes after it: up to each empty line, until one ends the head."""
        used = 0
        while used < len(data):
            end, first = self._find_end(data, used), not self._fed
            piece = data[used:end] if used or end < len(data) else data
            self._parse(piece)
            used = end
            if self._head is not None:
                return self._take(piece if first else None), used
        return None, used

    def _find_end(self, data: bytes, start: int) -> int:
        """Return the index after the next empty line, or the end of the data."""
        if self._tail:
            joined = self._tail + data[start : start + 3]
            position = joined.find(_END)
            if position >= 0:
                return start + position + len(_END) - len(self._tail)
        position = data.find(_END, start)
        return position + len(_END) if position >= 0 else len(data)

    def _is_ordinary(self, data: bytes) -> bool:
        """Return True if the data are one complete HTTP head, which its only empty line ends."""
        end = data.find(b"\r")
        return data[end - 9 : end - 1] == b" HTTP/1." and data.find(_END) == len(data) - len(_END)

    def _feed(self, piece: bytes) -> None:
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            pass  # a head that offers an upgrade ends here, and so does the piece
        except httptools.HttpParserError as error:
            raise self._refused or RefusedRequest() from error

    def _parse(self, piece: bytes) -> None:
        self._fed += len(piece)
        if self._line is not None:
            self._check_protocol(piece)
        self._feed(piece)
        if self._head is None:
            self._tail = (self._tail + piece[-3:])[-3:]
            self._check_beginning()

    def _check_protocol(self, piece: bytes) -> None:
        """Refuse request lines of RTSP and ICE, and those without a version, all of which llhttp accepts."""
        line = (self._line or b"") + piece
        end = line.find(b"\n", len(line) - len(line.lstrip(b"\r\n")))
        if end < 0:
            self._line = line[-_PROTOCOL_SIZE:]
            return
        self._line = None
        _, space, protocol = line[:end].rstrip(b"\r").rpartition(b" ")
        if not space or not protocol.startswith(b"HTTP/"):
            raise RefusedRequest

    def _check_beginning(self) -> None:
        if self._fed >= HEAD_LIMIT:
            self._check_size()
            if self._fed >= _RAW_LIMIT:
                raise RefusedRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _check_size(self) -> None:
        """Count what Node's --max-http-header-size counts: target, header names and values."""
        size = len(self._target) + sum([len(name) + len(value) for name, value in self._headers])
        if size >= HEAD_LIMIT:
            raise RefusedRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _take(self, whole: bytes | None) -> RequestHead:
        """Return the head and reset for the next one; `whole` are its bytes if they came in one piece."""
        head = self._head
        assert head is not None
        if whole is not None:
            self._known.add(whole, head)
        if head.length != 0:
            self._parser = httptools.HttpRequestParser(self)  # the used one expects a body
        self._head, self._target, self._headers, self._fed, self._tail = None, b"", [], 0, b""
        self._line = b""
        return head

    # -- callbacks of httptools

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if value and value[-1] <= _SPACE:
            value = self._trim(name, value)
        self._headers.append((name, value))

    def _trim(self, name: bytes, value: bytes) -> bytes:
        """Return the value without trailing white space (RFC 9110 §5.5)."""
        if name == b"content-length" and b"\t" in value:
            self._refused = RefusedRequest()  # as in Node's llhttp; this version ends the number at a tab
            raise self._refused
        return value.rstrip(b" \t")

    def on_headers_complete(self) -> None:
        parser = self._parser
        try:
            if self._fed >= HEAD_LIMIT:
                self._check_size()
            if len(self._headers) > MAX_HEADERS:
                raise RefusedRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            method = parser.get_method().decode("ascii")
            version = parser.get_http_version()
            self._head = understand_head(method, self._target, version, self._headers)
        except RefusedRequest as refused:
            self._refused = refused
            raise
