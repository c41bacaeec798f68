"""Compressed request bodies, inflated as Node's zlib streams do it, never beyond a limit.

Each decoder takes the body piece by piece and says how it ended; what it gives out is bounded by its caller's
allowance, so a small body cannot become a large one in memory.
"""

import zlib
from typing import Final, Protocol

import brotli  # type: ignore[import-untyped]


class CorruptError(ValueError):
    """The bytes are not what the `Content-Encoding` says, or they end too early."""


class Inflater(Protocol):
    """A decompressor that gives out at most `allowance` bytes at a time."""

    def inflate(self, data: bytes, allowance: int) -> bytes:
        """Inflate some input; more than `allowance` bytes come out only as one byte too many."""

    def finish(self) -> None:
        """Raise `CorruptError` where the input ended within the stream."""


_GZIP: Final = 16 + zlib.MAX_WBITS
_BROTLI_STEP: Final = 65536


class ZlibInflater:
    """gzip (several members, padding of zeros) and deflate (one zlib stream; what follows is ignored)."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._stream = zlib.decompressobj(_GZIP if gzip else zlib.MAX_WBITS)
        self._padded = False

    def inflate(self, data: bytes, allowance: int) -> bytes:
        """As `Inflater.inflate`."""
        output = b""
        while data and not self._padded and len(output) <= allowance:
            if self._stream.eof and not self._begin_member(data):
                break
            try:
                output += self._stream.decompress(data, allowance + 1 - len(output))
            except zlib.error as error:
                raise CorruptError(str(error)) from error
            data = self._stream.unused_data or self._stream.unconsumed_tail
        return output

    def _begin_member(self, data: bytes) -> bool:
        if self._gzip and data[0] != 0:
            self._stream = zlib.decompressobj(_GZIP)
            return True
        self._padded = True
        return False

    def finish(self) -> None:
        """As `Inflater.finish`."""
        if not self._stream.eof:
            raise CorruptError("unexpected end of file")


class BrotliInflater:
    """Brotli. Node ignores what follows the stream; here that is a fault, as the library gives no way past it."""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def inflate(self, data: bytes, allowance: int) -> bytes:
        """As `Inflater.inflate`."""
        pieces, left = [], allowance + 1
        try:
            while not self._stream.is_finished() and left > 0:
                piece = self._stream.process(data, output_buffer_limit=min(_BROTLI_STEP, left))
                if not piece:
                    break
                pieces.append(piece)
                left -= len(piece)
                data = b""
        except brotli.error as error:
            raise CorruptError(str(error)) from error
        return b"".join(pieces)

    def finish(self) -> None:
        """As `Inflater.finish`."""
        if not self._stream.is_finished():
            raise CorruptError("unexpected end of file")


def inflater(encoding: str) -> Inflater | None:
    """The decoder for a content encoding, `None` where Node 20 has none."""
    if encoding == "br":
        return BrotliInflater()
    return ZlibInflater(gzip=encoding == "gzip") if encoding in ("gzip", "deflate") else None
