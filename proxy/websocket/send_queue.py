"""What a socket's other end has not yet acknowledged, which only the kernel knows.

Linux tells by two ioctls: SIOCOUTQ (named TIOCOUTQ where Python has it) and SIOCOUTQNSD. Elsewhere nothing is known,
and a peer is judged by its answers alone.
"""

from __future__ import annotations

import struct
import sys

UNSENT = 0x894B
"""SIOCOUTQNSD."""

if sys.platform == "linux":
    import fcntl
    import termios

    def measure(fd: int) -> tuple[int, int]:
        """Bytes in the send queue of the TCP socket `fd`, and those of them that are on the network."""
        try:
            queued = _query(fd, termios.TIOCOUTQ)
            return queued, queued - _query(fd, UNSENT)
        except (OSError, ValueError):  # closed by now, or no TCP socket
            return 0, 0

    def _query(fd: int, request: int) -> int:
        answer = bytearray(4)
        fcntl.ioctl(fd, request, answer)
        (size,) = struct.unpack("i", answer)
        return int(size)

else:

    def measure(fd: int) -> tuple[int, int]:
        """Nothing is known here."""
        return 0, 0
