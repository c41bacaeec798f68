"""Content codings undone (RFC 9110 §8.4), never beyond a bound: a small body must not become a large one in memory."""

from __future__ import annotations

import zlib
from typing import Protocol

import brotli  # type: ignore[import-untyped]

LIMIT = 1024 * 1024
"""How large a decoded body may be, in bytes."""

_GZIP = 16 + zlib.MAX_WBITS


class CodingError(ValueError):
    """The bytes are not what `Content-Encoding` says, end too early, or the coding is unknown."""


class OversizeError(ValueError):
    """Decoded, the body is larger than the limit."""


class _Decoder(Protocol):
    def __call__(self, data: bytes, limit: int) -> bytes: ...


def decode(data: bytes, codings: str, limit: int = LIMIT) -> bytes:
    """The body with every coding in a `Content-Encoding` value undone. Raises CodingError, OversizeError."""
    for coding in reversed(codings.lower().split(",")):
        name = coding.strip()
        if name in ("", "identity"):
            continue
        if name not in _DECODERS:
            raise CodingError("unknown coding")
        data = _DECODERS[name](data, limit)
    return data


def _gzip(data: bytes, limit: int) -> bytes:
    """One or more gzip members; zeros may follow (RFC 1952 §2.2)."""
    output = b""
    while data.strip(b"\0") or not output:
        piece, data = _inflate(data, _GZIP, limit - len(output))
        output += piece
        if not data:
            break
    return output


def _deflate(data: bytes, limit: int) -> bytes:
    """A zlib stream, or the bare deflate that some servers send under this name."""
    try:
        return _inflate(data, zlib.MAX_WBITS, limit)[0]
    except CodingError:
        return _inflate(data, -zlib.MAX_WBITS, limit)[0]


def _inflate(data: bytes, window: int, limit: int) -> tuple[bytes, bytes]:
    """One stream inflated, and the bytes behind it."""
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
    """A Brotli stream (RFC 7932)."""
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


_DECODERS: dict[str, _Decoder] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _unbrotli,
}
