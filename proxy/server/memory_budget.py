"""A limit on the bytes that a process buffers for all clients together.

Accounts are charged for bodies that native has received and not answered, bodies that wait for a connection to legacy,
bodies that no backend has received (from 64 KiB), parts of answers that clients have not read, and messages of native
WebSockets. Beyond the limit, the holder of the largest idle account is ended first; if none is idle, the holder that
needs more. An account in use is not idle, because its app would not release the bytes. Runs on the event loop; does no
I/O.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

BUDGET_KEY: Final = "proxy.buffer_budget"
"""The key of the lifespan state that holds the `MemoryBudget` of the process."""
IDLE: Final = 1.0
"""Seconds without a change after which an account is idle."""


class MemoryBudget:
    """The accounts of a process.

    `limit` is in bytes and may be replaced at any time. `evicted` is called for each holder that is ended. An account
    is idle `idle_after` seconds after its last change.
    """

    def __init__(
        self, limit: int = 256 << 20, evicted: Callable[[], None] = lambda: None, *, idle_after: float = IDLE
    ) -> None:
        self.limit = limit
        self.used = 0
        self._evicted = evicted
        self._idle_after = idle_after
        self.accounts: Final[dict[MemoryAccount, None]] = {}

    def open(self, evict: Callable[[], None], *, expendable: bool = False) -> MemoryAccount:
        """Return an account. `evict` ends its holder, which then releases its bytes.

        An `expendable` holder serves no client and is ended before all others.
        """
        return MemoryAccount(self, evict, expendable=expendable)

    def has_room(self, size: int) -> bool:
        """Return True if `size` more bytes fit without ending a holder."""
        return self.used + size <= self.limit

    def make_room(self, account: MemoryAccount) -> bool:
        """End holders until the limit is met: expendable ones first, then idle ones, the largest first.

        Return False if `account` itself must end.
        """
        while self.used > self.limit:
            idle_before = time.monotonic() - self._idle_after
            expendable = [each for each in self.accounts if each.expendable]
            candidates = expendable or [each for each in self.accounts if each.is_idle_since(idle_before)]
            largest = max(candidates, key=lambda each: each.size, default=account)
            self._evicted()
            largest.close()
            if largest is account:
                return False
            largest.evict()
        return True


class MemoryAccount:
    """Bytes of one holder. A closed account accepts no more. `in_use`: the app works on these bytes."""

    __slots__ = ("_budget", "_closed", "changed_at", "evict", "expendable", "in_use", "size")

    def __init__(self, budget: MemoryBudget, evict: Callable[[], None], *, expendable: bool = False) -> None:
        self._budget, self.evict, self.expendable = budget, evict, expendable
        self._closed = self.in_use = False
        self.size = 0
        self.changed_at = 0.0

    def is_idle_since(self, time: float) -> bool:
        """Return True if nothing has changed since a time of the monotonic clock, and the app waits."""
        return not self.in_use and self.changed_at <= time

    def acquire(self, size: int) -> bool:
        """Charge `size` bytes; return False if the holder must end itself."""
        if self._closed:
            return False
        budget = self._budget
        self.size += size
        self.changed_at = time.monotonic()
        budget.used += size
        budget.accounts[self] = None
        return budget.used <= budget.limit or budget.make_room(self)

    def release(self, size: int) -> None:
        """Release `size` bytes; no effect on a closed account."""
        if self._closed:
            return
        self.size -= size
        self.changed_at = time.monotonic()
        self._budget.used -= size
        if not self.size:
            self._budget.accounts.pop(self, None)

    def close(self) -> None:
        """Release everything and close the account."""
        self.release(self.size)
        self._closed = True
