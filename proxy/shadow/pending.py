"""Requests sent to the shadow process and not answered yet, limited in number, bytes and time."""

from __future__ import annotations

import itertools
from asyncio import Future
from collections import Counter
from dataclasses import dataclass
from math import inf
from typing import Final

from proxy.comparison.verdicts import Reason
from proxy.types import Backend

MAX_PENDING_BYTES: Final = 32 * 1024 * 1024
"""Maximum size of all pending requests and answers together, in bytes."""
RESERVED: Final = 16
"""Pending requests beyond the limit, reserved for routes without any, so that busy routes do not exclude others."""
EXPIRY_GRACE: Final = 1.0
"""Seconds past its deadline after which a comparison without a verdict expires."""


@dataclass(slots=True)
class PendingRequest:
    """One request. `deadline` is in monotonic seconds; for a dry run it is set once legacy has served.

    `result` is resolved when a dry run ends: with None, or with the reason why there is nothing to compare.
    """

    route: str
    served: Backend
    size: int
    deadline: float = inf
    result: Future[Reason | None] | None = None
    caller: int | None = None


class PendingTable:
    """Pending requests by number."""

    def __init__(self) -> None:
        self._requests: dict[int, PendingRequest] = {}
        self._next_number = itertools.count()
        self._size = 0
        self._by_route: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: PendingRequest, limit: int) -> int | None:
        """Add a request and return its number; None if `limit` requests or too many bytes are pending already."""
        if not self.has_room(request.route, limit) or self._size + request.size > MAX_PENDING_BYTES:
            return None
        number = next(self._next_number)
        self._by_route[request.route] += 1
        self._requests[number] = request
        self._size += request.size
        return number

    def has_room(self, route: str, limit: int) -> bool:
        """Return True if another request of a route may be pending; a route without any may use the reserve."""
        return len(self._requests) < (limit if self._by_route[route] else limit + RESERVED)

    def get(self, number: int) -> PendingRequest | None:
        """Return the request with a number, None if it is not pending."""
        return self._requests.get(number)

    def pop(self, number: int) -> PendingRequest | None:
        """Remove the request with a number and return it, None if it is not pending."""
        request = self._requests.pop(number, None)
        if request is not None:
            self._size -= request.size
            self._by_route[request.route] -= 1
        return request

    def expired(self, now: float) -> list[int]:
        """Return the numbers of requests whose deadline and grace period have passed at `now` (monotonic seconds)."""
        return [number for number, request in self._requests.items() if request.deadline + EXPIRY_GRACE < now]

    def numbers(self) -> list[int]:
        """Return the numbers of all pending requests."""
        return list(self._requests)
