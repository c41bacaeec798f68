"""Limits of failed logins by one client: exact for concurrent guesses, without refusing right passwords."""

from __future__ import annotations

import asyncio

import pytest
from limits import parse

from handlers.services.login_limits import LoginLimits, TooManyAttemptsError
from handlers.v1.rate_limits import create_rate_limiter
from tests.support.waiting import PROMPT_TIMEOUT

pytestmark = pytest.mark.timeout(PROMPT_TIMEOUT)  # faulty limits leave logins waiting

TEN = parse("10/hour")


class Logins:
    """Concurrent logins of one client, each on an account of its own. `answer` ends the oldest one."""

    def __init__(self) -> None:
        self.limits = LoginLimits(create_rate_limiter(None), parse("3/hour"), TEN)
        self.checked: asyncio.Queue[asyncio.Future[bool]] = asyncio.Queue()

    async def log_in(self, number: int) -> bool | None:
        """Return whether the password was right; None if the limit is reached."""
        try:
            return await self.limits.verify("192.0.2.1", f"person{number}@clinic.example", self._verify)
        except TooManyAttemptsError:
            return None

    async def answer(self, is_right: bool) -> None:
        (await self.checked.get()).set_result(is_right)

    async def _verify(self) -> bool:
        result: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        await self.checked.put(result)
        return await result


async def test_concurrent_guesses_on_many_accounts_are_limited() -> None:
    logins = Logins()
    guesses = [asyncio.create_task(logins.log_in(number)) for number in range(8)]
    for _ in range(3):
        await logins.answer(False)
    assert await asyncio.gather(*guesses) == [False] * 3 + [None] * 5
    assert logins.checked.empty()


async def test_right_passwords_beyond_the_limit_are_admitted() -> None:
    logins = Logins()
    right = [asyncio.create_task(logins.log_in(number)) for number in range(8)]
    for number in range(8):
        await logins.answer(number != 0)
    assert await asyncio.gather(*right) == [False] + [True] * 7


async def test_cancelled_login_makes_room_for_the_next() -> None:
    logins = Logins()
    first, *others = [asyncio.create_task(logins.log_in(number)) for number in range(4)]
    left = await logins.checked.get()
    first.cancel()
    for _ in others:
        await logins.answer(True)
    assert await asyncio.gather(*others) == [True] * 3
    assert left.cancelled()


async def test_spellings_of_one_address_count_together() -> None:
    limits, checked = LoginLimits(create_rate_limiter(None), TEN, parse("3/hour")), list[str]()

    async def log_in(email: str) -> bool:
        async def guess_wrongly() -> bool:
            checked.append(email)
            return False

        return await limits.verify("192.0.2.1", email, guess_wrongly)

    spellings = ["ada@clinic.example", "Ada@clinic.example", "ada@Clinic.Example", "ADA@CLINIC.EXAMPLE"]
    for email in spellings[:3]:
        assert not await log_in(email)
    with pytest.raises(TooManyAttemptsError):
        await log_in(spellings[3])
    assert not await log_in("eve@clinic.example")
    assert checked == [*spellings[:3], "eve@clinic.example"]
