"""Size of a socket's send queue: the bytes that the other end has not acknowledged yet.

Linux reports it through two ioctls: SIOCOUTQ (named TIOCOUTQ in Python) and SIOCOUTQNSD. On other systems both sizes
are 0, and liveness depends on the peer's answers alone.
"""

from __future__ import annotations

import struct
import sys

UNSENT = 0x894B
"""The ioctl SIOCOUTQNSD: bytes not sent yet."""

if sys.platform == "linux":
    import fcntl
    import termios

    def measure(fd: int) -> tuple[int, int]:
        """Return the bytes in the send queue of the TCP socket `fd`, and how many of them are on the network."""
        try:
            queued = _query(fd, termios.TIOCOUTQ)
            return queued, queued - _query(fd, UNSENT)
        except (OSError, ValueError):  # a closed socket, or not TCP
            return 0, 0

    def _query(fd: int, request: int) -> int:
        answer = bytearray(4)
        fcntl.ioctl(fd, request, answer)
        (size,) = struct.unpack("i", answer)
        return int(size)

else:

    def measure(fd: int) -> tuple[int, int]:
        """Return zeros: this system does not report its send queue."""
        return 0, 0
