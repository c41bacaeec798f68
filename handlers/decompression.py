"""Decompression as by Node's zlib streams, of request bodies within a limit.

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
_DEFLATED: Final = 8
"""The low half of the first byte of a zlib stream: its method."""
STEP: Final = 65_536
_INPUT_STEP: Final = 8_192
"""Bytes of input per call; what follows the end of a gzip member is copied, so that larger inputs cost more."""


class ZlibInflater:
    """gzip (several members, zero padding) and deflate (one stream; data after it is ignored), by zlib's `window`."""

    def __init__(self, window: int) -> None:
        self._gzip = window == _GZIP
        self._stream = zlib.decompressobj(window)
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


class RawInflater:
    """Deflate with or without zlib's header, which the first byte shows, as `fetch` and axios accept it."""

    def __init__(self) -> None:
        self._stream: ZlibInflater | None = None

    def inflate(self, data: bytes) -> Iterator[bytes]:
        """Implement `Inflater.inflate`."""
        if self._stream is None and data:
            self._stream = ZlibInflater(window=zlib.MAX_WBITS if data[0] & 0x0F == _DEFLATED else -zlib.MAX_WBITS)
        if self._stream is not None:
            yield from self._stream.inflate(data)

    def finish(self) -> None:
        """Implement `Inflater.finish`."""
        if self._stream is not None:
            self._stream.finish()


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
    window = {"gzip": _GZIP, "deflate": zlib.MAX_WBITS}.get(encoding)
    return None if window is None else ZlibInflater(window)
