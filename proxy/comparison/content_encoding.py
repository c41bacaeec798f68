"""Undo content codings (RFC 9110 §8.4) with a limit on the decoded size, against decompression bombs. Pure."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from typing import Final, Protocol

import brotli  # type: ignore[import-untyped]

LIMIT: Final = 1024 * 1024
"""Maximum size of a decoded body, in bytes."""
DIGEST_BLOCK: Final = 64 * 1024
"""Bytes of a body that one digest covers."""
MAX_BLOCKS: Final = 1024
"""Maximum number of digests; the last one covers the rest of the body."""

_GZIP: Final = 16 + zlib.MAX_WBITS


class CodingError(ValueError):
    """Raised where the bytes do not match `Content-Encoding`, are truncated, or the coding is unknown."""


class OversizeError(ValueError):
    """Raised where the decoded body exceeds the limit."""


class BlockDigests:
    """Digests of a stream of bytes, one for each `DIGEST_BLOCK`, independent of chunk boundaries."""

    __slots__ = ("_current", "_digests", "_remaining", "length")

    def __init__(self) -> None:
        self._digests: list[bytes] = []
        self._current = hashlib.sha256()
        self._remaining = DIGEST_BLOCK
        self.length = 0

    def update(self, data: bytes) -> None:
        """Add the next bytes."""
        self.length += len(data)
        view = memoryview(data)
        while len(view) >= self._remaining and len(self._digests) < MAX_BLOCKS - 1:
            self._current.update(view[: self._remaining])
            view = view[self._remaining :]
            self._digests.append(self._current.digest()[:16])
            self._current, self._remaining = hashlib.sha256(), DIGEST_BLOCK
        self._current.update(view)
        self._remaining -= len(view)

    def blocks(self) -> tuple[bytes, ...]:
        """Return the digests so far, that of an incomplete block included."""
        return (*self._digests, self._current.digest()[:16])


def digests_of(data: bytes) -> BlockDigests:
    """Return the digests of bytes that are available as a whole."""
    digests = BlockDigests()
    digests.update(data)
    return digests


def decode(data: bytes, codings: str, limit: int = LIMIT) -> bytes:
    """Return the body with every coding in a `Content-Encoding` value undone.

    Raises:
        CodingError: the body does not match its codings.
        OversizeError: the decoded body exceeds `limit` bytes.
    """
    for name in _names(codings):
        data = _DECODERS[name](data, limit)
    return data


def _names(codings: str) -> Iterator[str]:
    for coding in reversed(codings.lower().split(",")):
        name = coding.strip()
        if name in ("", "identity"):
            continue
        if name not in _DECODERS:
            raise CodingError("unknown coding")
        yield name


class _Decoder(Protocol):
    def __call__(self, data: bytes, limit: int) -> bytes: ...


def _gzip(data: bytes, limit: int) -> bytes:
    """Decode one or more gzip members; zeros may follow (RFC 1952 §2.2)."""
    output = b""
    while data.strip(b"\0") or not output:
        piece, data = _inflate(data, _GZIP, limit - len(output))
        output += piece
        if not data:
            break
    return output


def _deflate(data: bytes, limit: int) -> bytes:
    """Decode a zlib stream, or raw deflate, which some servers send under this name."""
    try:
        return _inflate(data, zlib.MAX_WBITS, limit)[0]
    except CodingError:
        return _inflate(data, -zlib.MAX_WBITS, limit)[0]


def _inflate(data: bytes, window: int, limit: int) -> tuple[bytes, bytes]:
    """Return one stream inflated, and the bytes after it."""
    stream = zlib.decompressobj(window)
    try:
        output = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise CodingError(str(error)) from None
    if len(output) > limit:
        raise OversizeError
    if not stream.eof:
        raise CodingError("cut short")
    return output, stream.unused_data


def _unbrotli(data: bytes, limit: int) -> bytes:
    """Decode a Brotli stream (RFC 7932)."""
    stream = brotli.Decompressor()
    output = b""
    try:
        while not stream.is_finished() and len(output) <= limit:
            piece = stream.process(data, output_buffer_limit=limit + 1 - len(output))
            if not piece and not stream.is_finished():
                raise CodingError("cut short")
            output, data = output + piece, b""
    except brotli.error:
        raise CodingError("not Brotli") from None
    if len(output) > limit:
        raise OversizeError
    return output


_DECODERS: Final[Mapping[str, _Decoder]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _unbrotli,
}
