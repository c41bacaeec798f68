"""A queue in which clients take turns, and the items of one client stay in order. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Rotation(Generic[T]):
    """The waiting items of all clients; false if none waits."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[T]] = {}

    def __len__(self) -> int:
        """Return the number of clients that wait."""
        return len(self._waiting)

    def __contains__(self, client: Hashable) -> bool:
        return client in self._waiting

    def add(self, client: Hashable, item: T) -> None:
        """Add an item behind the client's others."""
        self._waiting.setdefault(client, deque()).append(item)

    def take(self) -> T:
        """Remove and return the first item of the client that has waited longest, and put the client last."""
        client = next(iter(self._waiting))
        queue = self._waiting.pop(client)
        item = queue.popleft()
        if queue:
            self._waiting[client] = queue
        return item
