"""Undo content codings (RFC 9110 §8.4) as a stream, with a limit on the decoded size. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

import brotli  # type: ignore[import-untyped]

LIMIT: Final = 1024 * 1024
"""Maximum size of a decoded body, in bytes."""

_PIECE: Final = 64 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB_METHOD: Final = 8


class CodingError(ValueError):
    """The bytes do not match `Content-Encoding` or are truncated, or the coding is unknown."""


class OversizeError(ValueError):
    """The decoded body exceeds the limit."""


def decode(data: bytes, codings: str, limit: int = LIMIT) -> bytes:
    """Return the body with every coding in a `Content-Encoding` value undone.

    Raises:
        CodingError: the body does not match its codings.
        OversizeError: the decoded body exceeds `limit` bytes.
    """
    if not any(_names(codings)):
        return data
    decoder = StreamDecoder(codings, limit)
    decoded = b"".join(decoder.feed(data))
    decoder.finish()
    return decoded


class StreamDecoder:
    """Undoes all codings of a `Content-Encoding` value, from the last to the first.

    Raises `CodingError` if a coding is unknown.
    """

    def __init__(self, codings: str, limit: int) -> None:
        self._decoders = [_decoder_of(name)() for name in _names(codings)]
        self._remaining = limit

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield decoded pieces of the next bytes; raises `CodingError` and `OversizeError`."""
        pieces: Iterable[bytes] = (data,)
        for decoder in self._decoders:
            pieces = _decoded(decoder, pieces)
        for piece in pieces:
            self._remaining -= len(piece)
            if self._remaining < 0:
                raise OversizeError
            yield piece

    def finish(self) -> None:
        """Raise `CodingError` if a coding has not ended."""
        if not all(decoder.is_complete for decoder in self._decoders):
            raise CodingError("cut short")


def _decoded(decoder: _Decoder, pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield from decoder.feed(piece)


def _names(codings: str) -> Iterator[str]:
    names = (coding.strip() for coding in reversed(codings.lower().split(",")))
    return (name for name in names if name not in ("", "identity"))


def _decoder_of(name: str) -> Callable[[], _Decoder]:
    if name not in _DECODERS:
        raise CodingError("unknown coding")
    return _DECODERS[name]


class _Decoder(Protocol):
    @property
    def is_complete(self) -> bool: ...

    def feed(self, data: bytes) -> Iterator[bytes]: ...


class _Gzip:
    """One or more gzip members; zeros may follow (RFC 1952 §2.2)."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP)
        self._is_after_member = False
        self.is_complete = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data := data.lstrip(b"\0") if self._is_after_member else data:
            self._is_after_member = self.is_complete = False
            yield from _inflate(self._stream, data)
            if not self._stream.eof:
                return
            data = self._stream.unused_data
            self._stream = zlib.decompressobj(_GZIP)
            self._is_after_member = self.is_complete = True


class _Deflate:
    """A zlib stream, or raw deflate, which some servers send under this name. Bytes after its end are ignored."""

    def __init__(self) -> None:
        self._stream: zlib._Decompress | None = None
        self._head = b""

    @property
    def is_complete(self) -> bool:
        return self._stream is not None and self._stream.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            self._head += data
            if len(self._head) < 2:
                return
            is_zlib = self._head[0] & 0x0F == _ZLIB_METHOD and int.from_bytes(self._head[:2], "big") % 31 == 0
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
            data = self._head
        if not self._stream.eof:
            yield from _inflate(self._stream, data)


def _inflate(stream: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """Yield the output of a stream until the input or the stream ends."""
    try:
        while not stream.eof:
            piece = stream.decompress(data, _PIECE)
            if piece:
                yield piece
            data = stream.unconsumed_tail
            if not data and len(piece) < _PIECE:
                return
    except zlib.error as error:
        raise CodingError(str(error)) from None


class _Brotli:
    """A Brotli stream (RFC 7932)."""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    @property
    def is_complete(self) -> bool:
        return bool(self._stream.is_finished())

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while True:
                piece = self._stream.process(data, output_buffer_limit=_PIECE)
                if piece:
                    yield piece
                if self._stream.is_finished() or (not piece and self._stream.can_accept_more_data()):
                    return
                data = b""
        except brotli.error:
            raise CodingError("not Brotli") from None


_DECODERS: Final[Mapping[str, Callable[[], _Decoder]]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
}
