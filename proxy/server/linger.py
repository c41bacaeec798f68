"""Close a connection so that the client can read the last answer."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from proxy.server.deadline import Deadline

LINGER: Final = 30.0
"""Seconds for a client to send the rest of its request, read the last answer and close its end (RFC 9112 §9.6)."""
LINGER_SILENCE: Final = 5.0
"""Seconds without a byte from the client, after which the connection is closed. Both are nginx's defaults."""
LINGER_AT_EXIT: Final = 1.0
"""Seconds that replace `LINGER` while the process stops."""


class LingeringClose:
    """A connection whose sending direction is closed, until the client has closed too or its time is over.

    The owner continues to read, and drops the bytes. Closing a connection with unread bytes would reset it, which may
    discard the answer (RFC 9112 §9.6). `at_exit`: the process is stopping.
    """

    __slots__ = ("_deadline", "_loop", "_until")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, *, at_exit: bool) -> None:
        self._loop, self._deadline = loop, Deadline(loop, transport.close)
        self._until = loop.time() + (LINGER_AT_EXIT if at_exit else LINGER)
        with contextlib.suppress(OSError):  # the client has reset the connection
            transport.write_eof()
        self.bytes_received()

    def bytes_received(self) -> None:
        """Restart the time without a byte."""
        self._deadline.set(min(LINGER_SILENCE, self._until - self._loop.time()))

    def shutdown(self) -> None:
        """Close soon, because the process stops."""
        self._until = min(self._until, self._loop.time() + LINGER_AT_EXIT)
        self.bytes_received()

    def cancel(self) -> None:
        """Stop the timer of a connection that is closed."""
        self._deadline.close()
