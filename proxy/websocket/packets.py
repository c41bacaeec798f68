"""The packets in which a client's frames arrive. Pure.

A packet is what Node reads at once: its handlers run for all messages in it in a row, before anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from proxy.websocket.messages import Event, MessageReader

PACKET_SIZE: Final = 64 * 1024
"""Maximum bytes of a packet: as many as Node reads at once."""


class PacketEnd:
    """The end of the messages that arrived together."""

    __slots__ = ()


PACKET_END: Final = PacketEnd()


class PacketReader:
    """Reads a client's frames packet by packet. `unread`: bytes after the frames that are read at once."""

    __slots__ = ("_has_messages", "_messages", "_room", "_size", "unread")

    def __init__(self, messages: MessageReader) -> None:
        self._messages = messages
        self._room = PACKET_SIZE
        self._size = 0
        self._has_messages = False
        self.unread = b""

    def events(self, data: bytes, max_frames: int) -> Iterator[Event]:
        """Return the events in the first packet of bytes, of at most `max_frames` frames.

        Iterate over all of them, then call `advance`. Raises `ProtocolViolation` in the iteration.
        """
        packet = data[: self._room]
        self._size = len(packet)
        return self._messages.feed(packet, max_frames)

    def advance(self, data: bytes) -> tuple[bytes, bool]:
        """Return the bytes after those that were read, and whether a packet with messages has ended there."""
        messages = self._messages
        size = self._size - len(messages.unread)
        if messages.messages:
            self._has_messages = True
        if messages.unread:
            self._room -= size
            return data[size:], False
        self._room = PACKET_SIZE
        is_over, self._has_messages = self._has_messages, False
        return data[size:], is_over
