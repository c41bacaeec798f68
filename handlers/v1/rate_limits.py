"""Rate limits for logins and registrations, counted in this process, or in MongoDB for all processes."""

import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request
from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, MongoDBStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError

from handlers.container import DATABASE_TIMEOUT
from handlers.services.login_limits import TooManyAttemptsError, client_key
from handlers.settings import Settings
from handlers.storage.errors import UnavailableError

COLLECTION: Final = "rate_limits"


class RateLimiter:
    """Counts attempts by action and actor; the actor is stored as a digest only."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._limiter = FixedWindowRateLimiter(storage)

    async def count_attempt(self, limit: RateLimitItem, action: str, actor: str) -> None:
        """Count one attempt; raises `TooManyAttemptsError` beyond the limit, or `UnavailableError`."""
        await self._admit(self._limiter.hit, limit, (action, _digest(actor)))

    async def check(self, limit: RateLimitItem, action: str, actor: str) -> None:
        """Raise `TooManyAttemptsError` where the limit is reached, or `UnavailableError`; count nothing."""
        await self._admit(self._limiter.test, limit, (action, _digest(actor)))

    async def _admit(self, admits: Callable[..., Awaitable[bool]], limit: RateLimitItem, key: tuple[str, str]) -> None:
        try:
            if await admits(limit, *key):
                return
            reset, _ = await self._limiter.get_window_stats(limit, *key)
        except StorageError as error:
            raise UnavailableError(str(error)) from error
        raise TooManyAttemptsError(max(1, int(reset - time.time()) + 1))

    async def reset(self, limit: RateLimitItem, action: str, actor: str) -> None:
        """Reset the attempts; raises `UnavailableError`."""
        try:
            await self._limiter.clear(limit, action, _digest(actor))
        except StorageError as error:
            raise UnavailableError(str(error)) from error

    def close(self) -> None:
        """Close the connections."""
        if isinstance(self._storage, MongoDBStorage):
            self._storage.storage.close()


def create_rate_limiter(settings: Settings, timeout: float = DATABASE_TIMEOUT) -> RateLimiter:
    """Return a rate limiter, in MongoDB if the settings say so; `timeout` in seconds. Needs a running event loop."""
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
    """Return the key of the client's address."""
    return client_key(host_of(request))


def host_of(request: Request) -> str:
    """Return the client's address, empty where the connection has none."""
    return request.client.host if request.client else ""


def _digest(actor: str) -> str:
    return hashlib.blake2b(actor.encode(), digest_size=16).hexdigest()
