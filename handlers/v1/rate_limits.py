"""How often somebody may try to log in, to register: counted in this process, or in MongoDB for all processes."""

import hashlib
import time
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from fastapi import HTTPException, Request
from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, MongoDBStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError

from handlers.container import DATABASE_TIMEOUT
from handlers.settings import Settings
from handlers.storage.errors import UnavailableError

COLLECTION: Final = "rate_limits"
_HOUSEHOLD: Final = 64
"""Bits of an IPv6 address that one customer is given as a whole."""


class RateLimiter:
    """Attempts by what is tried and by whom; who it was is kept as a digest alone."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._limiter = FixedWindowRateLimiter(storage)

    async def count_attempt(self, limit: RateLimitItem, what: str, who: str) -> None:
        """Count one attempt; raises a 429 with `Retry-After` where it is one too many, or `UnavailableError`."""
        key = (what, _digest(who))
        try:
            if await self._limiter.hit(limit, *key):
                return
            reset, _ = await self._limiter.get_window_stats(limit, *key)
        except StorageError as error:
            raise UnavailableError(str(error)) from error
        wait = max(1, int(reset - time.time()) + 1)
        raise HTTPException(429, "Too many attempts, please try again later", {"retry-after": str(wait)})

    async def reset(self, limit: RateLimitItem, what: str, who: str) -> None:
        """Forget the attempts so far; raises `UnavailableError`."""
        try:
            await self._limiter.clear(limit, what, _digest(who))
        except StorageError as error:
            raise UnavailableError(str(error)) from error

    def close(self) -> None:
        """Let go of the connections."""
        if isinstance(self._storage, MongoDBStorage):
            self._storage.storage.close()


def create_rate_limiter(settings: Settings, timeout: float = DATABASE_TIMEOUT) -> RateLimiter:
    """Counts in MongoDB where the settings say so, waiting for it so many seconds; needs a running event loop."""
    if not settings.rate_limits_shared:
        return RateLimiter(MemoryStorage())
    storage = MongoDBStorage(
        f"async+{settings.mongodb_url}",
        settings.database_name,
        counter_collection_name=COLLECTION,
        wrap_exceptions=True,
        serverSelectionTimeoutMS=int(timeout * 1000),
        timeoutMS=int(timeout * 1000),
    )
    return RateLimiter(storage)


def client_of(request: Request) -> str:
    """Who asks: the address of the connection, of IPv6 the part that tells customers apart."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:  # how a socket for both families shows an IPv4 client
            return str(address.ipv4_mapped)
        return str(ip_network((address, _HOUSEHOLD), strict=False))
    return str(address)


def _digest(who: str) -> str:
    return hashlib.blake2b(who.encode(), digest_size=16).hexdigest()
