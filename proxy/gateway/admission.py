"""Bulkheads: limits on the requests and WebSockets in flight at each backend, in total and per client.

Each backend has one bulkhead for requests and one for WebSockets, so that neither a slow backend nor idle WebSockets
use up the slots of others. At a limit, the request that has been stalled longest loses its slot; if none is stalled,
the new request is refused. Runs on the event loop; does no I/O.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from proxy.config.models import LimitSettings
from proxy.gateway.client_connection import ClientConnection
from proxy.gateway.errors import Overloaded
from proxy.types import Backend

Kind = Literal["http", "websocket"]

STALL_GRACE: Final = 1.0
"""Seconds without progress of the client after which a full bulkhead may end its request."""
SCAN_INTERVAL: Final = 0.1
"""Seconds between two searches of a full bulkhead for stalled clients; new requests replace those found."""


@dataclass(slots=True, eq=False)
class Slot:
    """The slot of one request or WebSocket in flight. `client`: the key that it counts for; None if not limited."""

    bulkhead: Bulkhead
    client: str | None
    connection: ClientConnection | None = None

    def release(self) -> None:
        """Release the slot."""
        self.bulkhead.remove(self)

    def move(self, bulkhead: Bulkhead) -> None:
        """Move to another backend's bulkhead. Raises `Overloaded`, and does not move, if that is full."""
        bulkhead.add(self)
        self.bulkhead.remove(self)
        self.bulkhead = bulkhead


@dataclass(frozen=True, slots=True)
class LimitUsage:
    """A limit, its current use, and the number of requests that it refused in the last minute.

    `limit` is 0 if this process does not know the use.
    """

    name: str
    used: int
    limit: int
    refused: int = 0

    @property
    def reached(self) -> bool:
        """True if the limit is full, or refused a request in the last minute."""
        return self.used >= self.limit > 0 or self.refused > 0

    def __str__(self) -> str:
        refused = f", {self.refused:,} refused in the last minute" if self.refused else ""
        used = f": {self.used:,} of {self.limit:,}" if self.limit else ""
        return f"{self.name} is reached{used}{refused}"


@dataclass(slots=True, eq=False)
class Bulkhead:
    """The slots of one backend for one kind. `limit` applies to all of them, `per_client` to those of one client."""

    name: str
    limit: int = 1024
    per_client: int = 1024
    _slots: dict[Slot, None] = field(default_factory=dict)
    _clients: dict[str, int] = field(default_factory=dict)
    _stalled: dict[Slot, float] = field(default_factory=dict)
    _searched_at: float = -1.0

    @property
    def used(self) -> int:
        """Number of slots in use."""
        return len(self._slots)

    def add(self, slot: Slot) -> None:
        """Add a slot. Raises `Overloaded` with the reached limit as its cause."""
        client = slot.client
        if client is not None and self._clients.get(client, 0) >= self.per_client and not self._evict_stalled(client):
            raise Overloaded("per_client")
        if len(self._slots) >= self.limit and not self._evict_stalled():
            raise Overloaded(self.name)
        self._slots[slot] = None
        if client is not None:
            self._clients[client] = self._clients.get(client, 0) + 1

    @property
    def largest_client(self) -> int:
        """Maximum number of slots in use by one client."""
        return max(self._clients.values(), default=0)

    def remove(self, slot: Slot) -> None:
        """Remove a slot; a second call has no effect."""
        if slot not in self._slots:
            return
        del self._slots[slot]
        self._stalled.pop(slot, None)
        if slot.client is not None:
            left = self._clients[slot.client] - 1
            if left:
                self._clients[slot.client] = left
            else:
                del self._clients[slot.client]

    def _evict_stalled(self, client: str | None = None) -> bool:
        """End the request that has been stalled longest, of one client or of all. Return False if none is stalled."""
        now = asyncio.get_running_loop().time()
        if now - self._searched_at >= SCAN_INTERVAL:
            self._searched_at = now
            self._stalled = self._find_stalled(now - STALL_GRACE)
        for slot, since in self._stalled.items():
            if client in (None, slot.client) and slot.connection is not None and _stalled_since(slot) == since:
                self.remove(slot)
                slot.connection.evict(self.name if client is None else "per_client")
                return True
        return False

    def _find_stalled(self, before: float) -> dict[Slot, float]:
        """Return the slots whose clients have been stalled since a time up to `before`, the longest first."""
        times = ((_stalled_since(slot), slot) for slot in self._slots)
        stalled = [(since, slot) for since, slot in times if since is not None and since <= before]
        return {slot: since for since, slot in sorted(stalled, key=lambda pair: pair[0])}


class Admission:
    """All bulkheads of a process."""

    def __init__(self) -> None:
        self.limits: LimitSettings | None = None
        self._bulkheads: Final[dict[tuple[Backend, Kind], Bulkhead]] = {
            ("legacy", "http"): Bulkhead("legacy_requests"),
            ("native", "http"): Bulkhead("native_requests"),
            ("legacy", "websocket"): Bulkhead("legacy_websockets"),
            ("native", "websocket"): Bulkhead("native_websockets"),
        }

    def apply(self, limits: LimitSettings) -> None:
        """Apply limits; requests in flight are not affected."""
        self.limits = limits
        for (_, kind), bulkhead in self._bulkheads.items():
            http = kind == "http"
            bulkhead.limit = limits.in_flight if http else limits.websockets
            bulkhead.per_client = limits.per_client if http else limits.websockets_per_client

    def admit(self, backend: Backend, kind: Kind, client: str | None, connection: ClientConnection | None) -> Slot:
        """Return a slot at the backend for a request; `client` is its `client_key`. Raises `Overloaded`."""
        bulkhead = self._bulkheads[backend, kind]
        slot = Slot(bulkhead, client, connection)
        bulkhead.add(slot)
        return slot

    def move(self, slot: Slot, backend: Backend) -> None:
        """Move a request to the other backend's bulkhead. Raises `Overloaded`."""
        slot.move(self._bulkheads[backend, "http"])

    def used(self, kind: Kind) -> int:
        """Slots in use of one kind, at both backends."""
        return sum(bulkhead.used for (_, each), bulkhead in self._bulkheads.items() if each == kind)

    def usage(self, refused: Mapping[str, int]) -> tuple[LimitUsage, ...]:
        """Return every limit; `per_client` is for the client with most slots. `refused`: counts of the last minute."""
        whole = [LimitUsage(each.name, each.used, each.limit, refused.get(each.name, 0)) for each in self]
        client = max(self, key=lambda each: each.largest_client / each.per_client)
        one = LimitUsage("per_client", client.largest_client, client.per_client, refused.get("per_client", 0))
        return (*whole, one)

    def __iter__(self) -> Iterator[Bulkhead]:
        return iter(self._bulkheads.values())


def _stalled_since(slot: Slot) -> float | None:
    return slot.connection.stalled_since if slot.connection is not None else None
