"""Slots of one backend: in all, of each client, and of clients that stall."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from proxy.gateway.admission import SCAN_INTERVAL, STALL_GRACE, Bulkhead, Slot
from proxy.gateway.errors import Overloaded


@dataclass
class Connection:
    """A client's connection that has stalled since a time of the loop."""

    stalled_since: float | None = None
    evicted_for: str | None = None
    is_closing: bool = False
    evictions: list[str] = field(default_factory=list)

    def retain_body(self, received: int = 0) -> None:
        """Do nothing."""

    def release_body(self) -> None:
        """Do nothing."""

    def evict(self, limit: str) -> None:
        self.evictions.append(limit)


def take(bulkhead: Bulkhead, client: str | None, connection: Connection | None = None) -> Slot:
    slot = Slot(bulkhead, client, connection)
    bulkhead.add(slot)
    return slot


async def test_client_at_its_limit_is_refused_alone() -> None:
    bulkhead = Bulkhead("native_requests", limit=10, per_client=3)
    slots = [take(bulkhead, "a") for _ in range(3)]
    with pytest.raises(Overloaded) as refused:
        take(bulkhead, "a")
    assert refused.value.cause == "per_client"
    take(bulkhead, "b")
    slots[0].release()
    take(bulkhead, "a")
    assert (bulkhead.used, bulkhead.largest_client) == (4, 3)


async def test_clients_without_an_address_share_the_limit() -> None:
    bulkhead = Bulkhead("native_requests", limit=5, per_client=1)
    for _ in range(5):
        take(bulkhead, None)
    with pytest.raises(Overloaded) as refused:
        take(bulkhead, None)
    assert refused.value.cause == "native_requests"


async def test_second_release_changes_nothing() -> None:
    bulkhead = Bulkhead("native_requests", limit=5, per_client=2)
    slot, _ = take(bulkhead, "a"), take(bulkhead, "a")
    slot.release()
    slot.release()
    assert (bulkhead.used, bulkhead.largest_client) == (1, 1)


@pytest.mark.parametrize(("full", "limit", "per_client"), [("per_client", 10, 3), ("native_requests", 3, 10)])
async def test_longest_stalled_request_is_evicted(full: str, limit: int, per_client: int) -> None:
    now = asyncio.get_running_loop().time()
    bulkhead = Bulkhead("native_requests", limit, per_client)
    stalled = [Connection(now - STALL_GRACE - seconds) for seconds in (1, 9, 0.5)]
    for connection in stalled:
        take(bulkhead, "a", connection)
    take(bulkhead, "a", Connection())
    assert [connection.evictions for connection in stalled] == [[], [full], []]
    assert bulkhead.used == 3


async def test_recently_stalled_request_is_not_evicted() -> None:
    loop = asyncio.get_running_loop()
    bulkhead = Bulkhead("native_requests", limit=1)
    connection = Connection(loop.time() + SCAN_INTERVAL)
    take(bulkhead, "a", connection)
    with pytest.raises(Overloaded):
        take(bulkhead, "b")
    assert connection.evictions == []


async def test_request_moved_to_another_backend_counts_there() -> None:
    native, legacy = Bulkhead("native_requests", limit=1), Bulkhead("legacy_requests", limit=1)
    slot = take(native, "a")
    slot.move(legacy)
    assert (native.used, legacy.used) == (0, 1)
    other = take(native, "b")
    with pytest.raises(Overloaded):
        other.move(legacy)
    assert (native.used, legacy.used) == (1, 1)
