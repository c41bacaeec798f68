"""Decompression of request bodies as by Node's zlib streams, within a limit.

Each decoder receives the body in chunks and yields small steps, so that its caller can stop at a limit, and can let the
event loop run, before a small body expands to a large one.
"""

import zlib
from collections.abc import Iterator
from typing import Final, Protocol

import brotli  # type: ignore[import-untyped]


class CorruptError(ValueError):
    """Bytes that are invalid for the `Content-Encoding`, or incomplete."""


class Inflater(Protocol):
    """A decompressor. Each step yields at most `STEP` bytes."""

    def inflate(self, data: bytes) -> Iterator[bytes]:
        """Decompress some input lazily: each step takes well under a millisecond, and may yield nothing."""

    def finish(self) -> None:
        """Raise `CorruptError` if the input is incomplete."""


_GZIP: Final = 16 + zlib.MAX_WBITS
STEP: Final = 65_536
_INPUT_STEP: Final = 8_192
"""Bytes of input per call; what follows the end of a gzip member is copied, so that larger inputs cost more."""


class ZlibInflater:
    """gzip (several members, zero padding) and deflate (one zlib stream; data after it is ignored)."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._stream = zlib.decompressobj(_GZIP if gzip else zlib.MAX_WBITS)
        self._padded = False

    def inflate(self, data: bytes) -> Iterator[bytes]:
        """Implement `Inflater.inflate`."""
        for start in range(0, len(data), _INPUT_STEP):
            yield from self._inflate(data[start : start + _INPUT_STEP])

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        while data and not self._padded:
            if self._stream.eof and not self._begin_member(data):
                break
            try:
                yield self._stream.decompress(data, STEP)
            except zlib.error as error:
                raise CorruptError(str(error)) from error
            data = self._stream.unused_data or self._stream.unconsumed_tail

    def _begin_member(self, data: bytes) -> bool:
        if self._gzip and data[0] != 0:
            self._stream = zlib.decompressobj(_GZIP)
            return True
        self._padded = True
        return False

    def finish(self) -> None:
        """Implement `Inflater.finish`."""
        if not self._stream.eof:
            raise CorruptError("unexpected end of file")


class BrotliInflater:
    """Brotli. Unlike in Node, data after the stream is an error, because the library cannot skip it."""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def inflate(self, data: bytes) -> Iterator[bytes]:
        """Implement `Inflater.inflate`."""
        if data and self._stream.is_finished():
            raise CorruptError("data after the end of the stream")
        while not self._stream.is_finished():
            try:
                piece = self._stream.process(data, output_buffer_limit=STEP)
            except brotli.error as error:
                raise CorruptError(str(error)) from error
            if not piece:
                break
            yield piece
            data = b""

    def finish(self) -> None:
        """Implement `Inflater.finish`."""
        if not self._stream.is_finished():
            raise CorruptError("unexpected end of file")


def inflater(encoding: str) -> Inflater | None:
    """Return the decoder for a content encoding, `None` if Node 20 has none."""
    if encoding == "br":
        return BrotliInflater()
    return ZlibInflater(gzip=encoding == "gzip") if encoding in ("gzip", "deflate") else None
