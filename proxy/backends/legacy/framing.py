"""Find the end of a response in the bytes of a connection (RFC 9112). Pure: bytes in, events as state.

A response is complete exactly at the byte that its framing gives, because the next request's answer follows there.
Bytes beyond it are `excess`, and the connection is not reused. A response with ambiguous framing is malformed, as in
nginx: two lengths, a length with a transfer coding, `chunked` twice.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from proxy.backends.legacy.headers import dropped_names, list_members, response_headers
from proxy.server.recurrence import RecurringValues
from proxy.types import HeaderFields

MAX_HEAD_SIZE: Final = 64 * 1024
"""Maximum bytes of a status line with its headers."""
MAX_CACHED_HEAD: Final = 2048
"""Maximum bytes of a head whose lines are cached, which bounds the memory of the caches."""
MAX_CACHED_HEADS: Final = 512
"""Maximum number of whole heads that are cached for each service."""
MAX_INTERIM_RESPONSES: Final = 32
"""Maximum number of 1xx responses before the final one."""
MAX_CHUNK_LINE: Final = 16 * 1024
"""Maximum bytes of a chunk's size and extensions."""
MAX_TRAILERS: Final = 16 * 1024
"""Maximum bytes of the trailers, which are dropped (RFC 9110 §6.5.1)."""

_EMPTY_LINE: Final = b"\r\n\r\n"
_LINE_END: Final = b"\r\n"
_HEAD_END: Final = re.compile(rb"\n\r?\n")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: .*)?", re.DOTALL)
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CHUNK_LINE: Final = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*+(?:;[^\0\r\n]*+)?\r?\n")
_CHUNK_END: Final = re.compile(rb"\r?\n")
_BODILESS: Final = frozenset((101, 204, 304))
_DECIDING: Final = frozenset((b"content-length", b"transfer-encoding", b"connection", b"keep-alive"))

Framing = Literal["none", "length", "chunked", "close"]


class MalformedResponse(Exception):
    """Raised for bytes that are not a response, or a response with an ambiguous end."""


class ResponseHead(NamedTuple):
    """A final response's status and headers, with lower-case names; `length` if `framing` is `length`.

    `idle_limit`: seconds for which legacy keeps an idle connection open, if stated. `passed`: the headers that are
    forwarded to the client, a tuple in cached heads.
    """

    status: int
    headers: HeaderFields
    framing: Framing
    length: int
    keep_alive: bool
    idle_limit: int | None = None
    passed: HeaderFields = ()


class RecurringHeads(RecurringValues[tuple[bytes, bool, bool], ResponseHead]):
    """Cache of the heads of one service's final responses, by their bytes.

    The key includes the kind of request: `head_only` and `upgrade` as in `ResponseReader`.
    """

    def __init__(self, size: int = MAX_CACHED_HEADS) -> None:
        super().__init__(size)

    def find(self, head: bytes, head_only: bool, upgrade: bool) -> ResponseHead | None:
        """Return a parsed head, given without its empty line; None if it is not cached."""
        return self._values.get((head, head_only, upgrade))

    def add(self, head: bytes, head_only: bool, upgrade: bool, meaning: ResponseHead) -> None:
        """Cache a parsed head, if it came before."""
        if self._recurs(head):
            self._cache((head, head_only, upgrade), meaning._replace(passed=tuple(meaning.passed)))


class ResponseReader:
    """Parser of one response. `head_only`: the method is HEAD; `upgrade`: a 101 was requested.

    After each `feed`: `head` is set once it is complete; `body` has the parts received since it was last emptied;
    `complete` is True at the response's last byte; `excess` are bytes beyond it; `continued` is True after a 100. A
    requested 101 is complete with its head, and `excess` are the first bytes of the other protocol.
    """

    # one object per response; for speed, defaults that most responses never change are class attributes
    head: ResponseHead | None = None
    complete = continued = False
    excess = b""
    _pending = b""
    _interim = _left = 0
    _trailers = -1
    _in_chunk = False

    def __init__(
        self, *, head_only: bool = False, upgrade: bool = False, recurring: RecurringHeads | None = None
    ) -> None:
        self._head_only, self._upgrade, self._recurring = head_only, upgrade, recurring
        self.body: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Parse more bytes. Raises MalformedResponse; parts before the fault are retained."""
        if self.head is None:
            data = self._read_heads(data)
        head = self.head
        if head is None or not data:
            return
        if self.complete:
            self.excess += data
        elif head.framing == "length":
            self._read_length(data)
        elif head.framing == "chunked":
            self._read_chunked(data)
        else:
            self.body.append(data)

    def end(self) -> bool:
        """Return True if the end of the connection completes the response."""
        if self.head is not None and self.head.framing == "close":
            self.complete = True
        return self.complete

    @property
    def begun(self) -> bool:
        """True once any byte has been received, also of an interim response."""
        return self.head is not None or bool(self._pending) or self._interim > 0

    # -- heads

    def _read_heads(self, data: bytes) -> bytes:
        """Return the bytes after the final head."""
        if not self._pending:
            end = data.find(_EMPTY_LINE, 0, MAX_CACHED_HEAD)
            if end >= 0 and self._read_small(data[:end]):
                return data[end + len(_EMPTY_LINE) :]
        while data and self.head is None:
            head, data = self._cut_head(data)
            if head is None:
                return b""
            self._read_head(head)
        return data

    def _read_small(self, head: bytes) -> bool:
        """Parse a final response's head that passes a quick check for irregularities; return False for any other."""
        if self._recurring is not None:
            known = self._recurring.find(head, self._head_only, self._upgrade)
            if known is not None:
                self.head, self._left, self.complete = known, known.length, known.framing == "none"
                return True
        lines = head.split(_LINE_END)
        if not (_is_plain(head, len(lines) - 1) and self._read_lines(lines, small=True)):
            return False
        if self._recurring is not None and self.head is not None:
            self._recurring.add(head, self._head_only, self._upgrade, self.head)
        return True

    def _begin(self, head: ResponseHead) -> None:
        self.head, self._left = head, head.length
        if head.framing == "none":
            self.complete = True

    def _cut_head(self, data: bytes) -> tuple[bytes | None, bytes]:
        searched = 0
        if self._pending:
            searched = max(len(self._pending) - 2, 0)
            data = self._pending + data
        head_end = _HEAD_END.search(data, searched)
        if head_end is None:
            self._pending = data
            self._check_pending()
            return None, b""
        end = head_end.end()
        if end > MAX_HEAD_SIZE:
            raise MalformedResponse("head too large")
        self._pending = b""
        return data[:end], data[end:]

    def _check_pending(self) -> None:
        if len(self._pending) > MAX_HEAD_SIZE:
            raise MalformedResponse("head too large")
        if not b"HTTP/1.".startswith(self._pending[:7]):
            raise MalformedResponse("not HTTP/1")

    def _read_head(self, head: bytes) -> None:
        lines = _lines_of(head)
        if not self._read_lines(lines, small=len(head) <= MAX_CACHED_HEAD):
            self._read_interim(_read_status_line(lines[0])[0])

    def _read_lines(self, lines: list[bytes], *, small: bool) -> bool:
        """Parse a final response's head; return False for that of an interim one."""
        status, modern = _read_status_line(lines[0])
        if status < 200 and not (status == 101 and self._upgrade):
            return False
        bodiless = self._head_only or status in _BODILESS
        headers = tuple(map(_cached_field if small else _read_field, lines[1:]))
        deciding = tuple([header for header in headers if header[0] in _DECIDING])
        decision = (_cached_decision if small else _decide)(deciding, bodiless, modern)
        passed = response_headers(status, headers, decision[4])
        self._begin(ResponseHead(status, headers, *decision[:4], passed))
        return True

    def _read_interim(self, status: int) -> None:
        self._interim += 1
        if status == 101 or self._interim > MAX_INTERIM_RESPONSES:
            raise MalformedResponse("an unrequested upgrade, or too many interim responses")
        self.continued = self.continued or status == 100

    # -- bodies

    def _read_length(self, data: bytes) -> None:
        size = len(data)
        if size > self._left:
            self.excess, data = data[self._left :], data[: self._left]
        self.body.append(data)
        if size >= self._left:
            self.complete = True
        else:
            self._left -= size

    def _read_chunked(self, data: bytes) -> None:
        if self._pending:
            data, self._pending = self._pending + data, b""
        parts: list[bytes] = []
        try:
            rest = self._read_chunks(data, parts)
        finally:
            if parts:
                self.body.append(parts[0] if len(parts) == 1 else b"".join(parts))
        if self.complete:
            self.excess = data[rest:]
        else:
            self._pending = data[rest:]

    def _read_chunks(self, data: bytes, parts: list[bytes]) -> int:
        """Return the offset of the first unparsed byte."""
        at = 0
        while at < len(data) and not self.complete:
            if self._trailers >= 0:
                after = self._read_trailer(data, at)
            elif self._left:
                after = min(at + self._left, len(data))
                parts.append(data[at:after])
                self._left -= after - at
            elif self._in_chunk:
                after = self._read_chunk_end(data, at)
            else:
                after = self._read_chunk_line(data, at)
            if after == at:
                break
            at = after
        return at

    def _read_chunk_line(self, data: bytes, at: int) -> int:
        line = _CHUNK_LINE.match(data, at)
        if line is None:
            _refuse_line(data, at, MAX_CHUNK_LINE)
            return at
        if line.end() - at > MAX_CHUNK_LINE:
            raise MalformedResponse("chunk extensions too long")
        self._left = int(line[1], 16)
        self._in_chunk = self._left > 0
        if not self._in_chunk:
            self._trailers = 0
        return line.end()

    def _read_chunk_end(self, data: bytes, at: int) -> int:
        end = _CHUNK_END.match(data, at)
        if end is not None:
            self._in_chunk = False
            return end.end()
        if data[at:] != b"\r":
            raise MalformedResponse("a chunk longer than its size")
        return at

    def _read_trailer(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at) + 1
        if self._trailers + (end or len(data)) - at > MAX_TRAILERS:
            raise MalformedResponse("trailers too long")
        if not end:
            return at
        self._trailers += end - at
        line = data[at:end].removesuffix(b"\n").removesuffix(b"\r")
        self.complete = not line
        if line:
            _check_trailer(line)
        return end


def _check_trailer(line: bytes) -> None:
    """Raise MalformedResponse for a line that is not a header, such as the first one of another answer."""
    if b"\r" in line or b"\0" in line:
        raise MalformedResponse("a control character in the trailers")
    _read_field(line)


def _is_plain(head: bytes, breaks: int) -> bool:
    """Return True if a head has no control characters other than its `breaks` line ends."""
    return head.count(b"\n") == breaks and head.count(b"\r") == breaks and b"\0" not in head


def _lines_of(head: bytes) -> list[bytes]:
    """Return the lines of a head without empty ones at its end. A lone LF ends a line (RFC 9112 §2.2)."""
    lines = head.split(b"\r\n")
    line_ends = head.count(b"\n")
    if len(lines) <= line_ends:
        head = head.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        lines = head.split(b"\r\n")
    if head.count(b"\r") != line_ends or b"\0" in head:
        raise MalformedResponse("a control character in a head")
    return lines[:-2]


@functools.lru_cache(maxsize=128)
def _read_status_line(line: bytes) -> tuple[int, bool]:
    """Return the status, and True for HTTP/1.1 or later."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise MalformedResponse("not a status line")
    return int(match[2]), match[1] != b"0"


def _read_field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or _TOKEN.fullmatch(name) is None:
        raise MalformedResponse("not a header")
    return name.lower(), value.strip(b" \t")


_cached_field: Final = functools.lru_cache(maxsize=512)(_read_field)
"""Cached because a service's responses differ in few headers."""


_Decision = tuple[Framing, int, bool, int | None, frozenset[bytes]]
"""The fields of `ResponseHead` from `framing` to `idle_limit`, and the names of the headers that are not forwarded."""


def _decide(deciding: tuple[tuple[bytes, bytes], ...], bodiless: bool, modern: bool) -> _Decision:
    """Return a body's framing and length, and whether the connection persists (RFC 9112 §6.3 and §9.3).

    `deciding` are the headers on which this depends; `modern`: HTTP/1.1 or later. Raises MalformedResponse.
    """
    lengths: list[bytes] = []
    codings: list[bytes] = []
    options: list[bytes] = []
    for name, value in deciding:
        if name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings += list_members(value)
        elif name == b"connection":
            options += list_members(value)
    framing, length = _framing(lengths, codings)
    if bodiless:
        framing, length = "none", 0
    keep_alive = b"close" not in options if modern else b"keep-alive" in options and not codings
    persists = keep_alive and framing != "close"
    return framing, length, persists, keep_alive_timeout(deciding), dropped_names(deciding)


_cached_decision: Final = functools.lru_cache(maxsize=512)(_decide)


def _framing(lengths: list[bytes], codings: list[bytes]) -> tuple[Framing, int]:
    if not codings:
        if not lengths:
            return "close", 0
        if len(lengths) == 1 and len(lengths[0]) < 19 and lengths[0].isdigit():
            length = int(lengths[0])
            return ("length", length) if length else ("none", 0)
    if lengths:
        raise MalformedResponse("ambiguous length")
    if codings.count(b"chunked") > 1:
        raise MalformedResponse("chunked twice")
    return ("chunked" if codings[-1] == b"chunked" else "close"), 0


def _refuse_line(data: bytes, at: int, limit: int) -> None:
    """Raise MalformedResponse unless further bytes may make `data[at:]` a valid first line of a chunk."""
    if len(data) - at > limit or data.find(b"\n", at) >= 0 or not _CHUNK_PREFIX.fullmatch(data, at):
        raise MalformedResponse("not a chunk's size")


_CHUNK_PREFIX: Final = re.compile(rb"[0-9a-fA-F]{1,15}[ \t]*+(?:;[^\0\r\n]*+)?\r?")


def keep_alive_timeout(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return the seconds for which legacy keeps an idle connection open, from `Keep-Alive: timeout=N`."""
    for name, value in headers:
        if name == b"keep-alive":
            for member in list_members(value):
                seconds = member.removeprefix(b"timeout=")
                if seconds != member and seconds.isdigit():
                    return int(seconds[:9])
    return None
