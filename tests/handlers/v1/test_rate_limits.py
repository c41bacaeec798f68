"""Limits of attempts, counted in this process or in MongoDB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import Request
from limits import parse
from limits.aio.storage import MemoryStorage
from starlette.types import Scope

from handlers.services.login_limits import TooManyAttemptsError
from handlers.settings import Settings, SettingsError
from handlers.storage.counters import COLLECTION
from handlers.storage.driver import DRIVERS
from handlers.storage.errors import UnavailableError
from handlers.storage.store import Store
from handlers.v1.rate_limits import RateLimiter, client_of, create_rate_limiter
from tests.support.backends import SECRET, scratch_database
from tests.support.waiting import until_async

THRICE = parse("3/hour")
NOWHERE_MONGODB = "mongodb://127.0.0.1:9"


@pytest.fixture(params=DRIVERS)
async def stores(mongodb_url: str, request: pytest.FixtureRequest) -> AsyncIterator[list[Store]]:
    """Return two processes' stores on one database."""
    with scratch_database(mongodb_url) as database:
        opened = [Store(mongodb_url, database.name, driver=request.param) for _ in range(2)]
        yield opened
        await asyncio.gather(*(store.close() for store in opened))


async def tries(rate_limiter: RateLimiter, number: int, key: str = "amara") -> list[bool]:
    """Return if each of several simultaneous attempts is admitted, refusals first."""
    attempts = (rate_limiter.count_attempt(THRICE, "login", key) for _ in range(number))
    refusals = await asyncio.gather(*attempts, return_exceptions=True)
    for refusal in filter(None, refusals):
        assert isinstance(refusal, TooManyAttemptsError)
        assert 1 <= refusal.retry_after <= 3601
    return sorted(refusal is None for refusal in refusals)


class ExhaustedStorage(MemoryStorage):
    """Counts that are beyond every limit until `END`, in seconds since 1970."""

    END = 1010.5

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        return 99

    async def get_expiry(self, key: str) -> float:
        return self.END


@pytest.mark.parametrize("now", [1000.0, 1000.49, 1000.5, 1000.51, 1009.6, 1010.4, 1010.5, 1012.0])
async def test_retry_after_ends_with_the_window_or_within_a_second(now: float) -> None:
    with pytest.raises(TooManyAttemptsError) as raised:
        await RateLimiter(ExhaustedStorage(), lambda: now).count_attempt(THRICE, "login", "amara")
    assert raised.value.retry_after >= 1
    assert ExhaustedStorage.END <= now + raised.value.retry_after <= max(now, ExhaustedStorage.END) + 1


@pytest.mark.parametrize("shared", [False, True])
async def test_attempts_are_limited_by_key_and_reset(stores: list[Store], shared: bool) -> None:
    rate_limiter = create_rate_limiter(stores[0] if shared else None)
    assert await tries(rate_limiter, 5) == [False, False, True, True, True]
    assert await tries(rate_limiter, 1, "ben") == [True]
    with pytest.raises(TooManyAttemptsError):
        await rate_limiter.check(THRICE, "login", "amara")
    await rate_limiter.check(THRICE, "login", "ben")
    await rate_limiter.reset(THRICE, "login", "amara")
    assert await tries(rate_limiter, 3) == [True, True, True]


async def test_processes_count_together_in_mongodb(stores: list[Store]) -> None:
    one, other = map(create_rate_limiter, stores)
    assert await tries(one, 2) == [True, True]
    assert await tries(other, 2) == [False, True]
    counters = await stores[0].collection(COLLECTION).find({})
    assert len(counters) == 1
    assert "amara" not in str(counters)


async def test_shared_count_starts_again_after_its_window(stores: list[Store]) -> None:
    limit, rate_limiter = parse("1/second"), create_rate_limiter(stores[0])

    async def is_refused() -> bool:
        """Return whether another attempt came within the same second."""
        try:
            await rate_limiter.count_attempt(limit, "login", "amara")
        except TooManyAttemptsError:
            return True
        return False

    async def is_admitted() -> bool:
        try:
            await rate_limiter.check(limit, "login", "amara")
        except TooManyAttemptsError:
            return False
        return True

    await until_async(is_refused)
    await until_async(is_admitted)
    await rate_limiter.count_attempt(limit, "login", "amara")


async def test_missing_mongodb_admits_no_login() -> None:
    store = Store(NOWHERE_MONGODB, "none", timeout=0.1)
    rate_limiter = create_rate_limiter(store)
    for attempt in (rate_limiter.count_attempt, rate_limiter.check, rate_limiter.reset, rate_limiter.count_attempt):
        with pytest.raises(UnavailableError) as refusal:
            await attempt(THRICE, "login", "amara")
    assert "known to be unavailable" in str(refusal.value), "the circuit breaker is open"
    await store.close()


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("testclient", "testclient"),
        (None, ""),
    ],
)
def test_client_is_an_address_or_an_ipv6_network(address: str | None, client: str) -> None:
    scope: Scope = {"type": "http", "headers": [], "client": None if address is None else (address, 1)}
    assert client_of(Request(scope)) == client


def test_limits_are_settings() -> None:
    settings = Settings.load(jwt_secret_key=SECRET, login_limit="5 per 2 minutes", trusted_proxies="10.0.0.0/8, ::1")
    assert (settings.login_limit.amount, settings.login_limit.get_expiry()) == (5, 120)
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1")
    with pytest.raises(SettingsError, match="LOGIN_LIMIT: must be a limit, as in 10/minute"):
        Settings.load(jwt_secret_key=SECRET, login_limit="often")
