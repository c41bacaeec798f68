"""Rate limits for logins and registrations, counted in this process, or in MongoDB for all processes."""

import hashlib
import time
from collections.abc import Awaitable, Callable
from functools import partial

from fastapi import Request
from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter

from handlers.services.login_limits import TooManyAttemptsError, client_key
from handlers.storage.counters import COLLECTION, Counters
from handlers.storage.errors import StoreError, UnavailableError
from handlers.storage.store import Store


class SharedStorage(Storage):
    """Counts in the store's database, through its circuit breaker; all methods raise `StoreError`."""

    STORAGE_SCHEME = None

    def __init__(self, counters: Counters) -> None:
        super().__init__()
        self._counters = counters

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return the error of an unavailable store."""
        return StoreError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to a count that expires `expiry` seconds after its first increment; return the sum."""
        return await self._counters.increment(key, expiry, amount)

    async def get(self, key: str) -> int:
        """Return a count."""
        return await self._counters.count_of(key)

    async def get_expiry(self, key: str) -> float:
        """Return when a count expires, in seconds since 1970."""
        return await self._counters.expiry_of(key)

    async def clear(self, key: str) -> None:
        """Remove a count."""
        await self._counters.delete(key)

    async def check(self) -> bool:
        """Return whether the store is available."""
        try:
            await self._counters.count_of("")
        except StoreError:
            return False
        return True

    async def reset(self) -> None:
        """Raise an error: counts that other processes share are only removed one by one."""
        raise NotImplementedError


class RateLimiter:
    """Counts attempts by action and actor; the actor is stored as a digest only. `clock`: seconds since 1970."""

    def __init__(self, storage: Storage, clock: Callable[[], float] = time.time) -> None:
        self._storage, self._clock = storage, clock
        self._limiter = FixedWindowRateLimiter(storage)

    async def count_attempt(self, limit: RateLimitItem, action: str, actor: str) -> None:
        """Count one attempt; raises `TooManyAttemptsError` beyond the limit, or `UnavailableError`."""
        await self._admit(self._limiter.hit, limit, (action, _digest(actor)))

    async def check(self, limit: RateLimitItem, action: str, actor: str, attempts: int = 1) -> None:
        """Raise `TooManyAttemptsError` if so many attempts exceed the limit, or `UnavailableError`; count nothing."""
        await self._admit(partial(self._limiter.test, cost=attempts), limit, (action, _digest(actor)))

    async def _admit(self, admits: Callable[..., Awaitable[bool]], limit: RateLimitItem, key: tuple[str, str]) -> None:
        try:
            if await admits(limit, *key):
                return
            reset, _ = await self._limiter.get_window_stats(limit, *key)
        except StoreError as error:
            raise UnavailableError(str(error)) from error
        raise TooManyAttemptsError(max(1, int(reset - self._clock()) + 1))

    async def reset(self, limit: RateLimitItem, action: str, actor: str) -> None:
        """Reset the attempts; raises `UnavailableError`."""
        try:
            await self._limiter.clear(limit, action, _digest(actor))
        except StoreError as error:
            raise UnavailableError(str(error)) from error


def create_rate_limiter(store: Store | None) -> RateLimiter:
    """Return a rate limiter that counts in a store, shared by all processes, or else in this process."""
    shared = None if store is None else SharedStorage(Counters(store.collection(COLLECTION)))
    return RateLimiter(shared or MemoryStorage())


def client_of(request: Request) -> str:
    """Return the key of the client's address."""
    return client_key(host_of(request))


def host_of(request: Request) -> str:
    """Return the client's address, empty if the connection has none."""
    return request.client.host if request.client else ""


def _digest(actor: str) -> str:
    return hashlib.blake2b(actor.encode(), digest_size=16).hexdigest()
