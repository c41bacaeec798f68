"""The packets in which a client's frames arrive. Pure.

A packet is what Node reads at once: its handlers run for all messages in it in a row, before anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from proxy.websocket.frames import FRAMES_AT_ONCE
from proxy.websocket.messages import Closed, Event, MessageReader

PACKET_SIZE: Final = 64 * 1024
"""Maximum bytes of a packet: as many as Node reads at once."""


class PacketEnd:
    """The end of the messages that arrived together."""

    __slots__ = ()


PACKET_END: Final = PacketEnd()


class PacketReader:
    """Reads a client's frames packet by packet.

    `unread` are the bytes after the `FRAMES_AT_ONCE` frames of one call, for the next one.
    """

    __slots__ = ("_has_messages", "_messages", "_room", "unread")

    def __init__(self, messages: MessageReader) -> None:
        self._messages = messages
        self._room = PACKET_SIZE
        self._has_messages = False
        self.unread = b""

    def feed(self, data: bytes) -> Iterator[Event | PacketEnd]:
        """Yield the events in bytes that arrived together, and a `PacketEnd` after each packet that has messages.

        A packet that has the client's close frame does not end. Raises `ProtocolViolation`.
        """
        self.unread = b""
        messages, frames = self._messages, 0
        while data and frames < FRAMES_AT_ONCE:
            packet = data[: self._room]
            for event in messages.feed(packet, FRAMES_AT_ONCE - frames):
                yield event
                kind = type(event)
                if kind is str or kind is bytes:
                    self._has_messages = True
                elif kind is Closed:
                    return
            frames += messages.frames
            size = len(packet) - len(messages.unread)
            data = data[size:]
            self._room -= size
            if not messages.unread:
                self._room = PACKET_SIZE
                if self._has_messages:
                    self._has_messages = False
                    yield PACKET_END
        self.unread = data
