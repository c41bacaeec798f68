"""Login limits of both dialects: failed attempts are counted by client address, and by account and address.

An account has one count per address, so that an attacker at another address cannot lock its owner out.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Protocol
from weakref import WeakValueDictionary

from limits import RateLimitItem

_SUBSCRIBER_BITS: Final = 64
"""Bits of an IPv6 address that identify one subscriber's network."""


class TooManyAttemptsError(Exception):
    """A limit is reached. `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many attempts")
        self.retry_after = retry_after


class AttemptCounter(Protocol):
    """Counts attempts by kind and key."""

    async def count_attempt(self, limit: RateLimitItem, action: str, actor: str) -> None:
        """Count one attempt; raise `TooManyAttemptsError` or `UnavailableError`."""

    async def check(self, limit: RateLimitItem, action: str, actor: str, attempts: int = 1) -> None:
        """Raise `TooManyAttemptsError` if so many attempts exceed the limit, or `UnavailableError`; count nothing."""

    async def reset(self, limit: RateLimitItem, action: str, actor: str) -> None:
        """Reset a count; raise `UnavailableError`."""


class _RunningAttempts:
    """The attempts of one client whose password is being checked, each of which may fail."""

    def __init__(self) -> None:
        self._number = 0
        self._admission = asyncio.Lock()
        self._ended = asyncio.Event()

    @contextlib.asynccontextmanager
    async def admit(self, check: Callable[[int], Awaitable[None]]) -> AsyncIterator[None]:
        """Admit an attempt that `check` admits together with the running ones; raise what it raises if there are none.

        Near the limit, an attempt therefore waits for the result of the running ones.
        """
        async with self._admission:
            while True:
                self._ended.clear()
                running = self._number
                try:
                    await check(running + 1)
                    break
                except TooManyAttemptsError:
                    if not running:
                        raise
                await self._ended.wait()
            self._number += 1
        try:
            yield
        finally:
            self._number -= 1
            self._ended.set()


@dataclass(frozen=True)
class LoginLimits:
    """Limits of failed logins by one client address, in all and for one account. A correct password is not counted."""

    counter: AttemptCounter
    per_client: RateLimitItem
    failures_per_account: RateLimitItem
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    _running: WeakValueDictionary[str, _RunningAttempts] = field(default_factory=WeakValueDictionary)

    async def verify(self, host: str, email: str, verify_password: Callable[[], Awaitable[bool]]) -> bool:
        """Return whether the password is right; raise `TooManyAttemptsError` or `UnavailableError` without checking it.

        Attempts on one account from one address run one at a time. Concurrent guesses are therefore counted exactly,
        and concurrent logins with the right password are all admitted.
        """
        client = client_key(host)
        account = f"{client} {email.lower()}"
        running = self._running.setdefault(client, _RunningAttempts())
        async with self._locks.setdefault(account, asyncio.Lock()), running.admit(partial(self._check_client, client)):
            await self.counter.count_attempt(self.failures_per_account, "password", account)
            if await verify_password():
                await self.counter.reset(self.failures_per_account, "password", account)
                return True
            with contextlib.suppress(TooManyAttemptsError):  # counted by other processes too; the next one is refused
                await self.counter.count_attempt(self.per_client, "login", client)
            return False

    async def _check_client(self, client: str, attempts: int) -> None:
        await self.counter.check(self.per_client, "login", client, attempts)


def client_key(host: str) -> str:
    """Return the address by which a client is counted: its IPv4 address, mapped to IPv6 or not, or its IPv6 /64."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, _SUBSCRIBER_BITS), strict=False))
    return str(address)
