"""Encode a request for legacy: the head, and a body with exactly the framing that the head announces. Pure.

The server may deliver fewer or more bytes than the head announces. Such a request is never completed. Otherwise legacy
would read the next caller's request on that connection as a part of this body, or the reverse.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from proxy.backends.legacy.endpoint import Endpoint
from proxy.backends.legacy.headers import list_members, unidentified_headers
from proxy.gateway.errors import BodyMismatch
from proxy.types import HeaderFields, RawHeaders

CACHED: Final = 1024
"""Maximum number of headers whose lines are cached."""

_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_EXAMINED: Final = frozenset((b"content-length", b"transfer-encoding", b"expect"))
_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding"))


class RequestBody:
    """A body's framing, by `length` (bytes) or chunked if that is None, and its progress.

    `complete` once the last byte has been framed.
    """

    __slots__ = ("_left", "_withheld", "complete")

    def __init__(self, length: int | None) -> None:
        self._left = length
        self._withheld = b""
        self.complete = length == 0

    def frame(self, data: bytes, *, last: bool) -> bytes:
        """Return the bytes to send for the next part. Raises `BodyMismatch` if the length does not match."""
        if self._left is None:
            self.complete = last
            chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            return chunk + b"0\r\n\r\n" if last else chunk
        self._left -= len(data)
        if self._left < 0 or (last and self._left):
            raise BodyMismatch
        self.complete = last
        if self._left == 0 and not last:
            self._withheld += data  # legacy must not receive a complete request of which more may follow
            return b""
        return self._withheld + data


class EncodedHeaders(NamedTuple):
    """The header lines of a request as sent to legacy.

    The line of `X-Request-Id` is inserted between `lines` and `coding`, the line of the transfer codings, if any.
    `length`: the body's bytes, None if it is chunked. `expects_continue`: the client sends its body only after a 100
    (RFC 9110 §10.1.1).
    """

    lines: bytes
    coding: bytes = b""
    length: int | None = 0
    expects_continue: bool = False


class HeaderEncoder:
    """Encoder of headers for one endpoint; caches headers that are a tuple."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint: Final = endpoint
        self._recurring: Final = lru_cache(maxsize=CACHED)(self._encode)

    def encode(self, headers: HeaderFields) -> EncodedHeaders:
        """Return the lines of a request's headers and the framing of its body."""
        return self._recurring(headers) if isinstance(headers, tuple) else self._encode(headers)

    def _encode(self, headers: HeaderFields) -> EncodedHeaders:
        sent = self.endpoint.with_host(unidentified_headers(headers))
        if _EXAMINED.isdisjoint([name for name, _ in headers]):
            return EncodedHeaders(_lines(sent))
        length, coding = body_framing(headers)
        framed = _framed(sent, length, coding)
        expectations = [value.lower() for name, value in sent if name == b"expect"]
        expects = bool(coding or length) and expectations[-1:] == [b"100-continue"]
        coding_line = _lines([(b"transfer-encoding", coding)]) if coding else b""
        return EncodedHeaders(_lines(framed), coding_line, None if coding else length, expects)


class EncodedRequest(NamedTuple):
    """A request for legacy: its head as bytes before and after the value of `X-Request-Id`, and its body's framing.

    `length` and `expects_continue`: see `EncodedHeaders`.
    """

    method: str
    before_id: bytes
    after_id: bytes
    length: int | None
    expects_continue: bool

    @classmethod
    def of(cls, method: str, target: bytes, headers: HeaderFields, encoder: HeaderEncoder) -> EncodedRequest:
        """Encode a request with the target that the client sent."""
        lines, coding, length, expects_continue = encoder.encode(headers)
        line = b"%b %b HTTP/1.1\r\n" % (method.encode(), encoder.endpoint.target(target))
        return cls(method, b"%b%bx-request-id: " % (line, lines), b"\r\n%b\r\n" % coding, length, expects_continue)

    @property
    def has_body(self) -> bool:
        return self.length != 0

    def head(self, request_id: bytes) -> bytes:
        """Return the bytes of the head."""
        return self.before_id + request_id + self.after_id


class ForwardedRequest(NamedTuple):
    """A request as sent to legacy, with its head as bytes."""

    encoded: EncodedRequest
    head: bytes


def _lines(headers: RawHeaders) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def _framed(headers: RawHeaders, length: int, coding: bytes) -> RawHeaders:
    """Return the headers with the one length that announces the body, if any, and without transfer codings."""
    framed: RawHeaders = []
    announced = bool(coding)
    for name, value in headers:
        if name == b"content-length" and not announced:
            announced = True
            framed.append((name, b"%d" % length))
        elif name not in _FRAMING:
            framed.append((name, value))
    return framed


def body_framing(headers: HeaderFields) -> tuple[int, bytes]:
    """Return a request's length and its transfer codings (RFC 9112 §6.3); codings take precedence over a length.

    Invalid or contradictory lengths cannot be forwarded, so such a body is sent chunked. The server refuses both, but
    other callers of this module may not.
    """
    framing = [header for header in headers if header[0] in _FRAMING]
    if not framing:
        return 0, b""
    lengths: set[bytes] = set()
    codings: list[bytes] = []
    for name, value in framing:
        if name == b"content-length":
            lengths.add(value)
        else:
            codings += list_members(value)
    if codings:
        return 0, b", ".join([*(coding for coding in codings if coding != b"chunked"), b"chunked"])
    if not lengths:
        return 0, b""
    length = lengths.pop()
    if lengths or not _LENGTH.fullmatch(length):
        return 0, b"chunked"
    return int(length), b""
