"""The database's circuit breaker, and the native app under load without a database."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import pytest

from demo.ports import free_port
from handlers.container import TIMINGS
from handlers.storage.circuit_breaker import MAX_CONCURRENT, TRIP_AFTER, BreakerTimings, CircuitBreaker
from handlers.storage.errors import UnavailableError
from tests.differential.people import AMARA
from tests.differential.people import TOKEN as FOREVER
from tests.support.backend_pair import get, native_backend, post
from tests.support.backends import token_of
from tests.support.event_loop import advance
from tests.support.waiting import HANG_TIMEOUT


class Database:
    """A database that answers, fails or hangs as the test sets it, and counts its calls."""

    def __init__(self) -> None:
        self.state = "up"
        self.query_count = 0

    async def query(self) -> None:
        self.query_count += 1
        if self.state == "silent":
            await asyncio.sleep(60)
        if self.state == "away":
            raise UnavailableError


@pytest.mark.parametrize("state", ["away", "silent"])
async def test_open_breaker_probes_and_closes(state: str) -> None:
    database, probe = Database(), Database()
    breaker = CircuitBreaker(probe.query, 0.02, timings=BreakerTimings(probe_interval=0.01, max_lag=HANG_TIMEOUT))
    database.state = probe.state = state
    for _ in range(TRIP_AFTER + 100):
        with pytest.raises(UnavailableError):
            await breaker.run(database.query)
    assert (breaker.is_open, database.query_count) == (True, TRIP_AFTER)
    while probe.query_count < 3:
        await asyncio.sleep(0.01)
    with pytest.raises(UnavailableError):
        breaker.require_closed()
    database.state = probe.state = "up"
    await asyncio.wait_for(_until_closed(breaker), HANG_TIMEOUT)
    database.state = "away"
    for _ in range(TRIP_AFTER - 1):
        with pytest.raises(UnavailableError):
            await breaker.run(database.query)
    database.state = "up"
    await breaker.run(database.query)
    await breaker.close()


async def _until_closed(breaker: CircuitBreaker) -> None:
    while breaker.is_open:
        await asyncio.sleep(0.01)


async def test_success_between_failures_keeps_the_breaker_closed() -> None:
    database = Database()
    breaker = CircuitBreaker(database.query, 1)
    for number in range(10 * TRIP_AFTER):
        database.state = "up" if number % TRIP_AFTER == 0 else "away"
        if database.state == "up":
            await breaker.run(database.query)
        else:
            with pytest.raises(UnavailableError):
                await breaker.run(database.query)
    assert not breaker.is_open


async def test_other_errors_do_not_open_the_breaker() -> None:
    breaker = CircuitBreaker(Database().query, 1)

    async def fail() -> None:
        raise ValueError

    for _ in range(2 * TRIP_AFTER):
        with pytest.raises(ValueError):
            await breaker.run(fail)
    assert not breaker.is_open


async def test_waiting_operations_fail_by_their_timeout() -> None:
    database = Database()
    database.state = "silent"
    breaker = CircuitBreaker(database.query, 0.1)
    results = await asyncio.gather(*(breaker.run(database.query) for _ in range(200)), return_exceptions=True)
    assert {type(result) for result in results} == {UnavailableError}
    assert database.query_count <= 2 * MAX_CONCURRENT
    await breaker.close()


IMPATIENT: Final = BreakerTimings(silence=0.05, probe_timeout=0.05, probe_interval=HANG_TIMEOUT, max_lag=HANG_TIMEOUT)


@pytest.mark.parametrize("known", [False, True], ids=["silent", "unreachable"])
async def test_running_operations_fail_when_the_breaker_opens(known: bool) -> None:
    database = Database()
    database.state = "silent"
    breaker = CircuitBreaker(database.query, 60, is_unreachable=lambda: known, concurrency=2, timings=IMPATIENT)
    results = await asyncio.gather(*(breaker.run(database.query) for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {UnavailableError}
    assert breaker.is_open
    assert database.query_count == (2 if known else 3), "two operations, and a probe where nothing is known"
    await breaker.close()


async def test_slow_operation_of_a_database_that_answers_succeeds() -> None:
    breaker = CircuitBreaker(Database().query, 60, timings=IMPATIENT)
    assert await breaker.run(lambda: asyncio.sleep(0.4, "slow")) == "slow"
    assert not breaker.is_open
    await breaker.close()


async def test_stop_of_the_process_is_no_failure_of_the_database() -> None:
    answered = asyncio.Event()
    breaker = CircuitBreaker(Database().query, 1000, timings=BreakerTimings(silence=HANG_TIMEOUT))
    running = [asyncio.create_task(breaker.run(answered.wait)) for _ in range(MAX_CONCURRENT)]
    await asyncio.sleep(0)
    await advance(100_000)
    assert not any(task.done() for task in running)
    answered.set()
    assert await asyncio.gather(*running) == [True] * MAX_CONCURRENT
    assert not breaker.is_open
    await breaker.close()


async def test_silence_after_a_slow_operation_is_noticed() -> None:
    database = Database()
    breaker = CircuitBreaker(database.query, 60, timings=IMPATIENT)
    await breaker.run(lambda: asyncio.sleep(0.4))
    database.state = "silent"
    with pytest.raises(UnavailableError):
        await breaker.run(database.query)
    assert breaker.is_open
    await breaker.close()


async def test_idle_breaker_sends_no_probe() -> None:
    database = Database()
    breaker = CircuitBreaker(database.query, 60, timings=IMPATIENT)
    await breaker.run(lambda: asyncio.sleep(0))
    await asyncio.sleep(0.3)
    assert database.query_count == 0
    await breaker.close()


async def test_cancelled_operation_releases_its_slot() -> None:
    breaker = CircuitBreaker(Database().query, 60, concurrency=1)
    waiting = [asyncio.create_task(breaker.run(lambda: asyncio.sleep(60))) for _ in range(3)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await breaker.run(lambda: asyncio.sleep(0, "next")) == "next"
    await breaker.close()


async def test_requests_without_a_database_are_all_answered_503(mongodb_url: str) -> None:
    # Two hundred at once; `make chaos` measures the times at each rate.
    token = token_of({"userID": AMARA, "iat": int(time.time()), "exp": int(time.time()) + 600})
    requests = [
        get("/users/profile", FOREVER),
        post("/users/login", {"email": "a@x", "password": "p"}),
        post("/api/consultation/start", {"patient_data": 1}, FOREVER),
        get("/api/v1/consultations", token),
    ]
    async with native_backend(mongodb_url, through=f"mongodb://127.0.0.1:{free_port()}/", timings=TIMINGS) as native:
        answers = await asyncio.gather(*(native.send(request, 60) for request in requests * 50))
    assert {answer.status for answer in answers} == {503}
