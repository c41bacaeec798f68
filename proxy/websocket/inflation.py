"""Read messages from compressed frames (permessage-deflate, RFC 7692). Pure.

The gateway relays such frames unchanged and never offers the extension. Only the shadow reads them.
"""

from __future__ import annotations

import zlib
from typing import Final

from proxy.websocket.frames import BINARY, TEXT
from proxy.websocket.messages import INVALID_TEXT, Message, MessageReader, ProtocolViolation

MAX_INFLATED: Final = 32 << 20
"""Maximum bytes of all messages of one end after decompression."""
_COMPRESSED: Final = 0x40
_TAIL: Final = b"\x00\x00\xff\xff"


class InflationLimitError(ValueError):
    """Messages are larger than `MAX_INFLATED` after decompression."""


def read_deflate(header: str) -> frozenset[str] | None:
    """Return the names of the parameters of permessage-deflate in an answer's Sec-WebSocket-Extensions.

    None if another extension is agreed on.
    """
    name, *parameters = (part.partition("=")[0].strip().lower() for part in header.split(";"))
    return frozenset(parameters) if name == "permessage-deflate" and "," not in header else None


class InflatingReader(MessageReader):
    """Parser of the frames of one end, whose messages may be compressed.

    `retains_context`: whether a message may refer to those before it (RFC 7692 §7.1.1).
    """

    def __init__(self, max_size: int, *, masked: bool, retains_context: bool) -> None:
        super().__init__(max_size, masked=masked)
        self._retains_context = retains_context
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._inflated = 0
        self._is_compressed = False
        self._is_text = False

    def _check_start(self, first: int, second: int) -> None:
        starts = first & 0x0F in (TEXT, BINARY)
        compressed = starts and bool(first & _COMPRESSED)
        if compressed:  # a text is decoded once it is inflated
            self._is_text = first & 0x0F == TEXT
            first = first & ~(_COMPRESSED | 0x0F) | BINARY
        super()._check_start(first, second)
        if starts:
            self._is_compressed = compressed

    def _end_message(self) -> Message:
        data = super()._end_message()
        if not self._is_compressed:
            return data
        assert isinstance(data, bytes)
        return self._text(self._inflate(data)) if self._is_text else self._inflate(data)

    def _inflate(self, data: bytes) -> bytes:
        if not self._retains_context or self._inflater.eof:  # a final block ends the stream (RFC 7692 §7.2.3.4)
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        room = MAX_INFLATED - self._inflated
        try:
            inflated = self._inflater.decompress(data + _TAIL, room + 1)
        except zlib.error as error:
            raise ProtocolViolation(INVALID_TEXT) from error
        self._inflated += len(inflated)
        if len(inflated) > room:
            raise InflationLimitError
        return inflated

    @staticmethod
    def _text(data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise ProtocolViolation(INVALID_TEXT) from error
