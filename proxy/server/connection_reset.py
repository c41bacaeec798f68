"""End a connection so that its client notices an incomplete answer (RFC 9112 §8)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Final

_DISCARD: Final = struct.pack("ii", 1, 0)
"""The value of `SO_LINGER` with which a close discards unsent bytes and resets the connection."""


def reset(transport: asyncio.Transport) -> None:
    """Reset a connection: to a client that reads until its end, an ordinary close is the end of a complete answer."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD)
    transport.abort()
