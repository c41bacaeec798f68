"""How often somebody may try, counted here or in MongoDB."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from fastapi import Request
from limits import parse
from starlette.types import Scope

from handlers.services.login_limits import TooManyAttemptsError
from handlers.settings import Settings, SettingsError
from handlers.storage.errors import UnavailableError
from handlers.v1.rate_limits import COLLECTION, RateLimiter, client_of, create_rate_limiter
from tests.support.backends import SECRET, scratch_database, settings_for

THRICE = parse("3/minute")


@contextlib.asynccontextmanager
async def rate_limiter_of(settings: Settings, timeout: float = 2) -> AsyncIterator[RateLimiter]:
    rate_limiter = create_rate_limiter(settings, timeout)
    try:
        yield rate_limiter
    finally:
        rate_limiter.close()


async def tries(rate_limiter: RateLimiter, number: int, who: str = "amara") -> list[bool]:
    """Which of several attempts at the same time are admitted."""
    attempts = (rate_limiter.count_attempt(THRICE, "login", who) for _ in range(number))
    refusals = await asyncio.gather(*attempts, return_exceptions=True)
    for refusal in filter(None, refusals):
        assert isinstance(refusal, TooManyAttemptsError)
        assert 1 <= refusal.retry_after <= 61
    return sorted(refusal is None for refusal in refusals)


@pytest.mark.parametrize("shared", [False, True])
async def test_admits_so_many_of_each_and_forgives(mongodb_url: str, shared: bool) -> None:
    with scratch_database(mongodb_url) as database:
        settings = settings_for(mongodb_url, database.name, rate_limits_shared=shared)
        async with rate_limiter_of(settings) as rate_limiter:
            assert await tries(rate_limiter, 5) == [False, False, True, True, True]
            assert await tries(rate_limiter, 1, "ben") == [True]
            await rate_limiter.reset(THRICE, "login", "amara")
            assert await tries(rate_limiter, 3) == [True, True, True]


async def test_processes_count_together_in_mongodb(mongodb_url: str) -> None:
    with scratch_database(mongodb_url) as database:
        settings = settings_for(mongodb_url, database.name, rate_limits_shared=True)
        async with rate_limiter_of(settings) as one, rate_limiter_of(settings) as other:
            assert await tries(one, 2) == [True, True]
            assert await tries(other, 2) == [False, True]
        kept = list(database[COLLECTION].find())
        assert len(kept) == 1
        assert "amara" not in str(kept)


async def test_without_mongodb_nobody_is_admitted() -> None:
    settings = settings_for("mongodb://127.0.0.1:9", "none", rate_limits_shared=True)
    async with rate_limiter_of(settings, 0.1) as rate_limiter:
        with pytest.raises(UnavailableError):
            await rate_limiter.count_attempt(THRICE, "login", "amara")
        with pytest.raises(UnavailableError):
            await rate_limiter.reset(THRICE, "login", "amara")


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
def test_a_client_is_an_address_or_a_network_of_one_customer(address: str | None, client: str) -> None:
    scope: Scope = {"type": "http", "headers": [], "client": None if address is None else (address, 1)}
    assert client_of(Request(scope)) == client


def test_limits_are_settings() -> None:
    settings = Settings.load(jwt_secret_key=SECRET, login_limit="5 per 2 minutes", trusted_proxies="10.0.0.0/8, ::1")
    assert (settings.login_limit.amount, settings.login_limit.get_expiry()) == (5, 120)
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1")
    with pytest.raises(SettingsError, match="LOGIN_LIMIT: must be a limit, as in 10/minute"):
        Settings.load(jwt_secret_key=SECRET, login_limit="often")
