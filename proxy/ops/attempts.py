"""Slow down guesses of the ops token. Pure.

Each client address may send a few wrong tokens. After that, its attempts are refused unread for a time that doubles
with every failure. Other addresses are not affected, so that an attacker elsewhere cannot lock out an operator.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_network
from typing import Final

from proxy.gateway.client_address import read_address

FREE_FAILURES: Final = 5
"""Failures of one address without a consequence."""
MAX_DELAY: Final = 60.0
"""Longest wait of an address, in seconds."""
FORGET_AFTER: Final = 600.0
"""Seconds without a failure after which the failures of an address are forgotten."""
MAX_CLIENTS: Final = 4096


class TooManyAttemptsError(Exception):
    """An address has sent too many wrong tokens. `seconds`: the time until it may try again."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds: Final = seconds


@dataclass(slots=True)
class _Failures:
    number: int
    last: float


class FailedAttempts:
    """Failures by client address; for IPv6 by /64, which one client controls."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._failures: Final[OrderedDict[str, _Failures]] = OrderedDict()

    def admit(self, address: str | None) -> None:
        """Raise TooManyAttemptsError unless an address may try now."""
        failures = self._failures.get(_client(address))
        if failures is None or failures.number < FREE_FAILURES:
            return
        wait = min(MAX_DELAY, 2.0 ** min(failures.number - FREE_FAILURES, 10))
        left = failures.last + wait - self._clock()
        if left > 0:
            raise TooManyAttemptsError(left)

    def fail(self, address: str | None) -> None:
        """Count a failure."""
        now, client = self._clock(), _client(address)
        failures = self._failures.pop(client, None)
        if failures is None or now - failures.last > FORGET_AFTER:
            failures = _Failures(0, now)
        failures.number += 1
        failures.last = now
        self._failures[client] = failures
        if len(self._failures) > MAX_CLIENTS:
            self._failures.popitem(last=False)

    def succeed(self, address: str | None) -> None:
        """Forget the failures of an address."""
        self._failures.pop(_client(address), None)


def _client(address: str | None) -> str:
    parsed = read_address(address) if address else None
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed or address)
