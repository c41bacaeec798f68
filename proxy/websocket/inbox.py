"""Messages and pings that a client of a native app has sent and the app has not received, in packets. Pure."""

from __future__ import annotations

import sys
from collections import deque
from typing import Final, Protocol

from proxy.websocket.messages import Message, PingReceived
from proxy.websocket.packets import PacketEnd


class BufferBudget(Protocol):
    """Bytes that all connections of a process may hold together."""

    def acquire(self, size: int) -> bool:
        """Reserve `size` bytes; return False if fewer are left."""

    def release(self, size: int) -> None:
        """Return `size` bytes to the budget."""


class Inbox:
    """The events of one connection in the order of their arrival. `size`: bytes of memory that they take."""

    __slots__ = ("_budget", "_events", "_reserved", "size")

    def __init__(self, budget: BufferBudget | None) -> None:
        self._budget: Final = budget
        self._events: deque[Message | PingReceived | PacketEnd] = deque()
        self._reserved = self.size = 0

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: Message | PingReceived | PacketEnd) -> None:
        """Add an event at the end."""
        self._events.append(event)
        self.size += _memory_of(event)

    def peek(self) -> Message | PingReceived | PacketEnd | None:
        """Return the first event, None if there is none."""
        return self._events[0] if self._events else None

    def take(self) -> Message | PingReceived | PacketEnd:
        """Remove and return the first event. Raises IndexError if there is none."""
        event = self._events.popleft()
        self.size -= _memory_of(event)
        return event

    def take_pings(self) -> list[PingReceived]:
        """Remove and return the pings."""
        events = list(self._events)
        self.clear()
        for event in events:
            if not isinstance(event, PingReceived):
                self.add(event)
        return [event for event in events if isinstance(event, PingReceived)]

    def clear(self) -> None:
        """Remove all events."""
        self._events.clear()
        self.size = 0

    def reserve(self, unfinished: int) -> bool:
        """Reserve the bytes of the events and of an unfinished message; return False if the budget is exhausted."""
        if self._budget is None:
            return True
        held = self.size + unfinished
        difference = held - self._reserved
        if difference > 0 and not self._budget.acquire(difference):
            return False
        if difference < 0:
            self._budget.release(-difference)
        self._reserved = held
        return True


def _memory_of(event: Message | PingReceived | PacketEnd) -> int:
    """Return the bytes that an event takes; more than 0 even for an empty one."""
    return sys.getsizeof(event.payload if isinstance(event, PingReceived) else event)
