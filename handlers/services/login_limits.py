"""Limits of logins: one count for both dialects, of each client address and of each account from that address.

The account's count is by address as well, so that an owner cannot be locked out from another address.
"""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Protocol

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

    async def reset(self, limit: RateLimitItem, action: str, actor: str) -> None:
        """Reset a count; raise `UnavailableError`."""


@dataclass(frozen=True)
class LoginLimits:
    """Logins that one client address may try, and failed ones for one account from one client address."""

    counter: AttemptCounter
    per_client: RateLimitItem
    failures_per_account: RateLimitItem

    async def admit(self, host: str, email: object) -> None:
        """Count a login, before its password is checked; raise `TooManyAttemptsError` or `UnavailableError`."""
        await self.counter.count_attempt(self.per_client, "login", client_key(host))
        await self.counter.count_attempt(self.failures_per_account, "password", _account_key(host, email))

    async def reset(self, host: str, email: object) -> None:
        """Reset the account's count after a successful login; raise `UnavailableError`."""
        await self.counter.reset(self.failures_per_account, "password", _account_key(host, email))


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


def _account_key(host: str, email: object) -> str:
    account = email.strip().lower() if isinstance(email, str) else ""
    return f"{client_key(host)} {account}"
