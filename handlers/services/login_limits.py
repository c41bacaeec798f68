"""Limits of logins: one count for both dialects, of each client address and of each account from that address.

The account's count is by address as well, so that an owner cannot be locked out from another address.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
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

    async def check(self, limit: RateLimitItem, action: str, actor: str) -> None:
        """Count nothing; raise `TooManyAttemptsError` where the limit is reached, or `UnavailableError`."""

    async def reset(self, limit: RateLimitItem, action: str, actor: str) -> None:
        """Reset a count; raise `UnavailableError`."""


@dataclass(frozen=True)
class LoginLimits:
    """Failed logins that one client address may make, in all and for one account; a right password costs nothing."""

    counter: AttemptCounter
    per_client: RateLimitItem
    failures_per_account: RateLimitItem
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def verify(self, host: str, email: str, verify_password: Callable[[], Awaitable[bool]]) -> bool:
        """Return whether the password is right; raise `TooManyAttemptsError` or `UnavailableError` without checking it.

        Attempts on one account from one address take turns, so that guesses made at once are counted exactly and
        logins made at once with the right password are all admitted.
        """
        client = client_key(host)
        account = f"{client} {email.strip().lower()}"
        async with self._locks.setdefault(account, asyncio.Lock()):
            await self.counter.check(self.per_client, "login", client)
            await self.counter.count_attempt(self.failures_per_account, "password", account)
            if await verify_password():
                await self.counter.reset(self.failures_per_account, "password", account)
                return True
            with contextlib.suppress(TooManyAttemptsError):  # the next one is refused
                await self.counter.count_attempt(self.per_client, "login", client)
            return False


def client_key(host: str) -> str:
    """Return the address that a client is counted by: IPv4 where it is mapped to IPv6, an IPv6 client's /64."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, _SUBSCRIBER_BITS), strict=False))
    return str(address)
