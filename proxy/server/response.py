"""Encode responses: the head, and the framing of the body (RFC 9112 §6). Pure.

The app sends the response; the listener alone decides about `Connection` and `Transfer-Encoding`. A response that
cannot be sent as intended raises `InvalidResponse`, before its first byte if possible.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, Literal

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
BODILESS: Final = frozenset((204, 304))
"""Final statuses of answers without a body."""
LISTENER_HEADERS: Final = frozenset(
    (
        *(b"content-length", b"connection", b"upgrade", b"transfer-encoding"),
        *(b"keep-alive", b"proxy-connection", b"trailer"),
    )
)
"""Headers that the listener sets or omits: they describe its connection, and ASGI leaves `Transfer-Encoding` to it.

It states no timeout, and sends no trailers.
"""

MAX_ZEROS: Final = 7
"""Maximum leading zeros of a chunk's size: with a size up to 2^32, not more than the 16 digits that peers read."""

Header = tuple[bytes, bytes]
Delimiter = Literal["length", "chunks", "close", "none"]


class InvalidResponse(RuntimeError):
    """Raised for a response of an app that cannot be sent."""


class ResponseFramer:
    """Encoder of one response.

    `head` is the status line with the headers. `keep_alive`: the connection may carry another request after the
    response. `broken`: the body does not have the announced length.
    """

    __slots__ = ("_delimiter", "_left", "_zeros", "broken", "head", "keep_alive")
    _delimiter: Delimiter

    def __init__(
        self,
        method: str,
        version: str,
        status: int,
        headers: Iterable[Header],
        *,
        keep_alive: bool,
        added: Iterable[Header] = (),
    ) -> None:
        """Encode the head. Lines of `headers` are cached if they are a tuple; those of `added` are not.

        `added` has no header about framing. Raises `InvalidResponse` for a status that is not final, or a header that
        would corrupt the head.
        """
        if isinstance(headers, tuple):
            text, length, options = _recurring_lines(headers, status)
        else:
            text, length, options = _encode_headers(headers, status)
        lines = [b"%b: %b\r\n" % (_checked_name(name), value) for name, value in added]
        self.broken, self.keep_alive, self._zeros = False, keep_alive and b"close" not in options, 0
        if length is not None and method != "HEAD" and status not in BODILESS:
            self._delimiter, self._left = "length", length
        else:
            self._delimiter, self._left = self._choose_delimiter(method, version, status), 0
        if self._delimiter == "chunks":
            lines.append(b"transfer-encoding: chunked\r\n")
        if options or not self.keep_alive or version != "1.1":
            lines += self._connection(version, options)
        self.head = b"%b%b%b\r\n" % (_status_line(status), text, _join_lines(lines))

    def _choose_delimiter(self, method: str, version: str, status: int) -> Delimiter:
        if method == "HEAD" or status in BODILESS:
            return "none"
        if version == "1.1":
            return "chunks"
        self.keep_alive = False
        return "close"

    def _connection(self, version: str, options: Iterable[bytes]) -> list[bytes]:
        names = [option for option in options if option not in (b"close", b"keep-alive")]
        if not self.keep_alive:
            names.append(b"close")
        elif version == "1.0":
            names.append(b"keep-alive")
        return [b"connection: %b\r\n" % b", ".join(names)] if names else []

    @property
    def ends_with_connection(self) -> bool:
        """True if the connection's end ends the body, as in HTTP/1.0 without a length.

        It does so for Python's `http.client`, too, if it follows zeros of `probe`, which are then a last chunk.
        """
        return self._delimiter == "close" or self._zeros > 0

    def probe(self) -> bytes:
        """Return a leading zero of the next chunk's size (RFC 9112 §7.1), of which there may be `MAX_ZEROS`.

        It is a byte that may be written between two parts of the body. Other bodies allow none.
        """
        if self._delimiter != "chunks" or self._zeros == MAX_ZEROS:
            return b""
        self._zeros += 1
        return b"0"

    def frame(self, body: bytes, *, more: bool) -> bytes:
        """Return the encoded next part of the body; nothing if the response has no body.

        Bytes beyond the announced length are cut off. In that case, or if bytes are missing at the end, `broken`
        becomes True and `keep_alive` False.
        """
        if self._delimiter == "length":
            return self._frame_sized(body, more=more)
        if self._delimiter == "chunks":
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if chunk:
                self._zeros = 0
            return chunk if more else chunk + b"0\r\n\r\n"
        return body if self._delimiter == "close" else b""

    def _frame_sized(self, body: bytes, *, more: bool) -> bytes:
        left = self._left - len(body)
        if left < 0 or (left and not more):
            self.broken, self.keep_alive = True, False
            body = body[: self._left]
        self._left = left
        return body


def whole_response(status: int, headers: Iterable[Header], added: Iterable[Header], body: bytes) -> bytes | None:
    """Return the bytes of a complete response on a persistent HTTP/1.1 connection, to a method other than `HEAD`.

    Return None if its recurring headers do not fit that: the response then needs a `ResponseFramer`.
    """
    if not isinstance(headers, tuple):
        return None
    text, length, options = _recurring_lines(headers, status)
    if length != len(body) or options or status in BODILESS:
        return None
    lines = b""
    for name, value in added:
        if b"\n" in value or b"\r" in value or b"\0" in value:
            return None
        lines += b"%b: %b\r\n" % (name, value)
    return b"%b%b%b\r\n%b" % (_status_line(status), text, lines, body)


def _encode_headers(headers: Iterable[Header], status: int) -> tuple[bytes, int | None, tuple[bytes, ...]]:
    """Return header lines in the app's order, the announced length and the options of `Connection`.

    A 204 retains only a length of 0: the `cors` package sends it, although RFC 9110 §8.6 forbids any.
    """
    lines: list[bytes] = []
    length: int | None = None
    options: list[bytes] = []
    for name, value in headers:
        name = _checked_name(name)
        if name not in LISTENER_HEADERS:
            lines.append(b"%b: %b\r\n" % (name, value))
        elif name == b"content-length":
            first, length = length is None, _read_length(value, length)
            if first and (length == 0 or status != 204):
                lines.append(b"content-length: %d\r\n" % length)
        elif name == b"connection":
            options += [option.strip(b" \t").lower() for option in value.split(b",") if option.strip(b" \t")]
        elif name == b"upgrade":
            options.append(b"upgrade")  # RFC 9110 §7.8
            lines.append(b"upgrade: %b\r\n" % value)
    return _join_lines(lines), length, tuple(dict.fromkeys(options))


_recurring_lines: Final = functools.lru_cache(maxsize=1024)(_encode_headers)


def header_lines(headers: Iterable[Header]) -> bytes:
    """Return headers as lines, with lower-case names. Raises `InvalidResponse` if one would corrupt the head."""
    return _join_lines([b"%b: %b\r\n" % (_checked_name(name), value) for name, value in headers])


def _join_lines(lines: list[bytes]) -> bytes:
    """Return the joined lines. Raises `InvalidResponse` if one contains a line break."""
    joined, expected = b"".join(lines), len(lines)
    if joined.count(b"\n") != expected or joined.count(b"\r") != expected or b"\0" in joined:
        raise InvalidResponse("a header contains CR, LF or NUL")
    return joined


def _read_length(value: bytes, former: int | None) -> int:
    if not value.isdigit() or (former is not None and former != int(value)):
        raise InvalidResponse("Content-Length is not a number, or contradicts another")
    return int(value)


@functools.lru_cache(maxsize=1024)
def _checked_name(name: bytes) -> bytes:
    """Return the name in lower case. Raises `InvalidResponse`."""
    if not _TOKEN.fullmatch(name):
        raise InvalidResponse("a header's name is not a token")
    return name.lower()


@functools.lru_cache(maxsize=1024, typed=True)
def _status_line(status: int) -> bytes:
    """Return the status line of a final status: 200 to 999 (RFC 9110 §15 defines classes up to 5 only).

    The number may be of any integer type, such as an enumeration, whose text is not the number.
    """
    if not isinstance(status, int) or not 200 <= status <= 999:
        raise InvalidResponse("the status is not a final one")
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode())
