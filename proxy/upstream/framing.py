"""Where a response begins and ends in the bytes of a connection (RFC 9112). Pure: bytes in, events as state.

The connection must never get out of step, so a response is complete exactly at the byte where its framing says so;
bytes beyond that are `excess`, and the connection that carried them is not used again. A response whose framing is
ambiguous is malformed, as nginx has it: two lengths, a length beside a transfer coding, `chunked` twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from .headers import RawHeaders, list_members

MAX_HEAD_SIZE: Final = 64 * 1024
"""Bytes of a status line and its headers."""
MAX_INTERIM_RESPONSES: Final = 32
"""1xx responses before the final one."""
MAX_CHUNK_LINE: Final = 16 * 1024
"""Bytes of a chunk's size and extensions."""
MAX_TRAILERS: Final = 16 * 1024
"""Bytes of the trailers, which are dropped (RFC 9110 §6.5.1)."""

_HEAD_END: Final = re.compile(rb"\n\r?\n")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: [^\0\r\n]*+)?\r?\n")
_FIELD: Final = rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++):[ \t]*+([^\0\r\n]*+)\r?\n"
_FIELDS: Final = re.compile(_FIELD)
_FIELD_LINES: Final = re.compile(rb"(?:" + _FIELD + rb")*+\r?\n")
_CHUNK_LINE: Final = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*+(?:;[^\0\r\n]*+)?\r?\n")
_CHUNK_END: Final = re.compile(rb"\r?\n")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_BODILESS: Final = frozenset((204, 304))

Framing = Literal["none", "length", "chunked", "close"]


class MalformedResponse(Exception):
    """Bytes that are not a response, or one whose end is ambiguous."""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A final response's status and headers, names in lower case; `length` where `framing` is `length`."""

    status: int
    headers: RawHeaders
    framing: Framing
    length: int
    keep_alive: bool


class ResponseReader:
    """Reads one response. `head_only`: the method is HEAD; `upgrade`: a 101 was asked for.

    After each `feed`: `head` once it is whole; `body` holds what has come of the body since it was last emptied;
    `complete` at the response's last byte; `excess` where bytes followed it; `continued` once 100 has come. A 101
    that was asked for is complete with its head, and `excess` is what the other protocol begins with.
    """

    def __init__(self, *, head_only: bool = False, upgrade: bool = False) -> None:
        self._head_only, self._upgrade = head_only, upgrade
        self._pending = bytearray()
        self._interim = 0
        self._left = 0
        self._trailers = -1
        self._in_chunk = False
        self.head: ResponseHead | None = None
        self.body: list[bytes] = []
        self.complete = self.continued = False
        self.excess = b""

    def feed(self, data: bytes) -> None:
        """Read on. Raises MalformedResponse; what was read before the fault stays."""
        if self.head is None:
            data = self._read_heads(data)
        if self.head is None or not data:
            return
        if self.complete:
            self.excess += data
        elif self.head.framing == "length":
            self._read_length(data)
        elif self.head.framing == "chunked":
            self._read_chunked(data)
        else:
            self.body.append(data)

    def end(self) -> bool:
        """Return whether the response is whole now that the connection has ended."""
        if self.head is not None and self.head.framing == "close":
            self.complete = True
        return self.complete

    # -- heads

    def _read_heads(self, data: bytes) -> bytes:
        """Return what follows the final head."""
        while data and self.head is None:
            head, data = self._cut_head(data)
            if head is None:
                return b""
            self._read_head(head)
        return data

    def _cut_head(self, data: bytes) -> tuple[bytes | None, bytes]:
        pending = self._pending
        if pending:
            seen = max(len(pending) - 2, 0)
            pending += data
            end = _HEAD_END.search(pending, seen)
        else:
            end = _HEAD_END.search(data)
        if end is None:
            if not pending:
                pending += data
            self._check_pending()
            return None, b""
        if end.end() > MAX_HEAD_SIZE:
            raise MalformedResponse("head too large")
        whole = bytes(pending) if pending else data
        pending.clear()
        return whole[: end.end()], whole[end.end() :]

    def _check_pending(self) -> None:
        if len(self._pending) > MAX_HEAD_SIZE:
            raise MalformedResponse("head too large")
        if not b"HTTP/1.".startswith(self._pending[:7]):
            raise MalformedResponse("not HTTP/1")

    def _read_head(self, head: bytes) -> None:
        line = _STATUS_LINE.match(head)
        if line is None or _FIELD_LINES.fullmatch(head, line.end()) is None:
            raise MalformedResponse("not a response's head")
        status = int(line[2])
        if status < 200 and not (status == 101 and self._upgrade):
            self._read_interim(status)
            return
        headers = [(name.lower(), value.rstrip(b" \t")) for name, value in _FIELDS.findall(head, line.end())]
        bodiless = self._head_only or status in _BODILESS or status == 101
        self.head = head_of(status, headers, bodiless=bodiless, modern=line[1] != b"0")
        self._left = self.head.length
        self.complete = self.head.framing == "none"

    def _read_interim(self, status: int) -> None:
        self._interim += 1
        if status == 101 or self._interim > MAX_INTERIM_RESPONSES:
            raise MalformedResponse("an upgrade that was not asked for, or too many interim responses")
        self.continued = self.continued or status == 100

    # -- bodies

    def _read_length(self, data: bytes) -> None:
        if len(data) > self._left:
            self.excess, data = data[self._left :], data[: self._left]
        self._left -= len(data)
        self.complete = self._left == 0
        self.body.append(data)

    def _read_chunked(self, data: bytes) -> None:
        if self._pending:
            data = bytes(self._pending) + data
            self._pending.clear()
        parts: list[bytes] = []
        try:
            rest = self._read_chunks(data, parts)
        finally:
            if parts:
                self.body.append(parts[0] if len(parts) == 1 else b"".join(parts))
        if self.complete:
            self.excess = data[rest:]
        else:
            self._pending += data[rest:]

    def _read_chunks(self, data: bytes, parts: list[bytes]) -> int:
        """Return the offset of the first byte that is not read yet."""
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
        self.complete = data[at:end] in (b"\r\n", b"\n")
        return end


def head_of(status: int, headers: RawHeaders, *, bodiless: bool, modern: bool) -> ResponseHead:
    """Return the head with its body's framing (RFC 9112 §6.3). `modern`: HTTP/1.1. Raises MalformedResponse."""
    lengths: list[bytes] = []
    codings: list[bytes] = []
    options: set[bytes] = set()
    for name, value in headers:
        if name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings += list_members(value)
        elif name == b"connection":
            options.update(list_members(value))
    framing, length = _framing(lengths, codings, bodiless=bodiless)
    keep_alive = b"close" not in options if modern else b"keep-alive" in options and not codings
    return ResponseHead(status, headers, framing, length, keep_alive and framing != "close")


def _framing(lengths: list[bytes], codings: list[bytes], *, bodiless: bool) -> tuple[Framing, int]:
    if len(lengths) > 1 or (lengths and (codings or not _LENGTH.fullmatch(lengths[0]))):
        raise MalformedResponse("ambiguous length")
    if codings.count(b"chunked") > 1:
        raise MalformedResponse("chunked twice")
    if bodiless:
        return "none", 0
    if codings:
        return ("chunked" if codings[-1] == b"chunked" else "close"), 0
    if not lengths:
        return "close", 0
    return ("length", int(lengths[0])) if lengths[0].strip(b"0") else ("none", 0)


def _refuse_line(data: bytes, at: int, limit: int) -> None:
    """Raise MalformedResponse unless more bytes may still make `data[at:]` a chunk's first line."""
    if len(data) - at > limit or data.find(b"\n", at) >= 0 or not _CHUNK_PREFIX.fullmatch(data, at):
        raise MalformedResponse("not a chunk's size")


_CHUNK_PREFIX: Final = re.compile(rb"[0-9a-fA-F]{1,15}[ \t]*+(?:;[^\0\r\n]*+)?\r?")


def keep_alive_timeout(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return the seconds that the legacy keeps an idle connection open, from `Keep-Alive: timeout=N`."""
    for name, value in headers:
        if name == b"keep-alive":
            for member in list_members(value):
                seconds = member.removeprefix(b"timeout=")
                if seconds != member and seconds.isdigit():
                    return int(seconds[:9])
    return None
