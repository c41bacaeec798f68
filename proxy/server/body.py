"""Request bodies: find the end of a body in a stream of bytes, and decode its content. Pure.

Chunked bodies (RFC 9112 §7.1) are parsed as strictly as by llhttp. Chunk extensions and trailers are dropped and have
Node's limits: 16 KiB for the extensions of one chunk (413), 16 KiB for all trailers (431).
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final, Protocol

from proxy.server.refusal import HEAD_LIMIT, RefusedRequest

LINES_AT_ONCE: Final = 512
"""Maximum lines of a chunked body that are parsed in one pass of the event loop; they take about a millisecond."""
_EXTENSIONS_LIMIT: Final = 16 * 1024
_SIZE_DIGITS: Final = 16
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED: Final = rb'"(?:[\t\x20-\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;%b(?:=(?:%b|%b))?)*+\r\n" % (_TOKEN, _TOKEN, _QUOTED))
_SIZE_BEGINNING: Final = re.compile(rb"[0-9A-Fa-f]{1,16}(?:;[\t\x20-\x7e\x80-\xff]*+)?\r?")
_FRAMING: Final = re.compile(rb"(?:content-length|transfer-encoding):", re.IGNORECASE)
_TRAILER: Final = re.compile(rb"%b:[\t\x20-\x7e\x80-\xff]*+\r\n" % _TOKEN)


class BodyDecoder(Protocol):
    """Decoder of one body. `complete`: True after its last byte. `left`: number of further bytes, as far as known."""

    complete: bool

    @property
    def left(self) -> int: ...

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Return the content, and how many bytes were read. Raises `RefusedRequest`.

        The other bytes follow the body if it is `complete`, and are left for the next call if it is not.
        """


def decoder(length: int | None) -> BodyDecoder | None:
    """Return the decoder of a body of `length` bytes, chunked if it is None; None for an empty body."""
    if length is None:
        return ChunkedBody()
    return SizedBody(length) if length else None


class SizedBody:
    """A body with a Content-Length."""

    def __init__(self, length: int) -> None:
        self.left = length
        self.complete = False

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Return the content, and how many bytes belong to the body."""
        content = data if len(data) <= self.left else data[: self.left]
        self.left -= len(content)
        self.complete = self.left == 0
        return content, len(content)


class ChunkedBody:
    """A chunked body; its trailers are dropped."""

    def __init__(self) -> None:
        self.complete = False
        self.left = 0
        self._line = b""
        self._after_chunk = self._in_trailers = False
        self._trailers = 0

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Return the content, and how many bytes were read, of at most `LINES_AT_ONCE` lines."""
        content: list[bytes] = []
        used = lines = 0
        while used < len(data) and not self.complete and lines < LINES_AT_ONCE:
            if self.left:
                piece = data[used : used + self.left]
                content.append(piece)
                self.left -= len(piece)
                used += len(piece)
            else:
                used = self._read_line(data, used)
                lines += 1
        return b"".join(content), used

    def _read_line(self, data: bytes, start: int) -> int:
        """Read a line, or its available part. Return the index after it."""
        newline = data.find(b"\n", start)
        end = newline + 1 if newline >= 0 else len(data)
        self._line += data[start:end]
        self._check_length()
        if newline >= 0:
            line, self._line = self._line, b""
            self._take_line(line)
        elif not self._may_become_line():
            raise RefusedRequest
        return end

    def _check_length(self) -> None:
        if self._in_trailers:
            if self._trailers + len(self._line) >= HEAD_LIMIT:
                raise RefusedRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif len(self._line) > _SIZE_DIGITS + _EXTENSIONS_LIMIT and b";" in self._line[: _SIZE_DIGITS + 1]:
            raise RefusedRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def _may_become_line(self) -> bool:
        """Return True if an incomplete line may still be valid, so that an invalid one is refused early."""
        if self._after_chunk:
            return self._line == b"\r"
        if self._in_trailers:
            return b"\r" not in self._line[:-1]
        return _SIZE_BEGINNING.fullmatch(self._line) is not None

    def _take_line(self, line: bytes) -> None:
        if self._after_chunk:
            if line != b"\r\n":
                raise RefusedRequest
            self._after_chunk = False
        elif self._in_trailers:
            self._take_trailer(line)
        else:
            self._take_size(line)

    def _take_size(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise RefusedRequest
        if len(line) - len(match[1]) - len(b";\r\n") > _EXTENSIONS_LIMIT:
            raise RefusedRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        self.left = int(match[1], 16)
        self._in_trailers = self.left == 0
        self._after_chunk = not self._in_trailers

    def _take_trailer(self, line: bytes) -> None:
        self._trailers += len(line)
        if line == b"\r\n":
            self.complete = True
        elif not _TRAILER.fullmatch(line) or _FRAMING.match(line):  # RFC 9110 §6.5.1
            raise RefusedRequest
