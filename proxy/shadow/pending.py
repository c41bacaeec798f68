"""What the shadow process has been given and not yet given back: within a bound, and never for ever."""

from __future__ import annotations

import itertools
from asyncio import Future
from dataclasses import dataclass
from math import inf
from typing import Final

from proxy.comparison.verdicts import Reason
from proxy.types import Backend

BYTES: Final = 32 * 1024 * 1024
"""How much of requests and answers may be outstanding."""
GRACE: Final = 1.0
"""Seconds after its deadline in which the shadow process may still say what became of a comparison."""


@dataclass(slots=True)
class PendingRequest:
    """One request. `deadline` is in monotonic seconds; of a dry run it begins once legacy has served.

    `result` is resolved when a dry run is over: with None, or with why there is nothing to compare.
    """

    route: str
    served: Backend
    size: int
    deadline: float = inf
    result: Future[Reason | None] | None = None


class PendingTable:
    """Numbers what is outstanding."""

    def __init__(self) -> None:
        self._entries: dict[int, PendingRequest] = {}
        self._numbers = itertools.count()
        self._size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def admit(self, entry: PendingRequest, room: int) -> int | None:
        """The entry's number; None where there are `room` entries already, or too many bytes."""
        if len(self._entries) >= room or self._size + entry.size > BYTES:
            return None
        number = next(self._numbers)
        self._entries[number] = entry
        self._size += entry.size
        return number

    def find(self, number: int) -> PendingRequest | None:
        """What has that number, if it is outstanding still."""
        return self._entries.get(number)

    def settle(self, number: int) -> PendingRequest | None:
        """Take an entry out."""
        entry = self._entries.pop(number, None)
        if entry is not None:
            self._size -= entry.size
        return entry

    def overdue(self, now: float) -> list[int]:
        """Those of which nothing was heard in time."""
        return [number for number, entry in self._entries.items() if entry.deadline + GRACE < now]

    def numbers(self) -> list[int]:
        """All of them."""
        return list(self._entries)
