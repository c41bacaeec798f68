"""The pool of connections: their number, their lifetime, and the order of waiting callers."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.backends.legacy.connection import Connection
from proxy.backends.legacy.dial import Dialer
from proxy.backends.legacy.endpoint import Endpoint
from proxy.backends.legacy.http import HttpUpstream
from proxy.backends.legacy.pool import Pool, PoolLimits
from proxy.gateway.errors import Overloaded
from tests.support.random_seed import seed_of
from tests.support.sockets import read_head, scripted
from tests.support.unhurried import LONG_TIMEOUTS
from tests.support.upstream_call import call
from tests.support.waiting import HANG_TIMEOUT, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ninnocent"
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
INNOCENT = (200, b"innocent", True)


class CountingLegacy:
    """Counts its open connections; answers once `gate` is open."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.open = self.most = self.total = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._writers: list[asyncio.StreamWriter] = []

    def end_connections(self) -> None:
        """Close the connections, at once in their sockets."""
        for writer in self._writers:
            writer.get_extra_info("socket").shutdown(socket.SHUT_WR)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.open += 1
        self.total += 1
        self.most = max(self.most, self.open)
        try:
            while True:
                await read_head(reader)
                await self.gate.wait()
                writer.write(self.answer)
        finally:
            self.open -= 1

    async def until_open(self, number: int) -> None:
        async with asyncio.timeout(HANG_TIMEOUT):
            while self.open != number:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def upstream_of(legacy: CountingLegacy, limits: PoolLimits) -> AsyncIterator[HttpUpstream]:
    async with scripted(legacy) as port:
        upstream = HttpUpstream(f"http://127.0.0.1:{port}", LONG_TIMEOUTS, limits)
        try:
            yield upstream
        finally:
            upstream.close()


@asynccontextmanager
async def pool_of(legacy: CountingLegacy, limits: PoolLimits) -> AsyncIterator[Pool]:
    async with scripted(legacy) as port:
        pool = Pool(Dialer(Endpoint.parse(f"http://127.0.0.1:{port}")), limits)
        try:
            yield pool
        finally:
            pool.close()


async def until_closed(legacy: CountingLegacy, upstream: HttpUpstream) -> None:
    await legacy.until_open(0)
    await until(lambda: not upstream.pool.open)


async def finish(connection: Connection) -> None:
    connection.send(GET, head_only=False)
    while not connection.complete:
        await connection.progress.wait()
    connection.take()


async def test_every_open_connection_counts() -> None:
    legacy = CountingLegacy()
    limits = PoolLimits(3, max_idle_for_unsafe=0.0)  # unsafe requests need new connections
    async with upstream_of(legacy, limits) as upstream:
        for method in ("GET", "POST", "GET", "POST"):
            answers = await asyncio.gather(*(call(upstream, method, "/") for _ in range(25)))
            assert answers == [INNOCENT] * 25
    assert legacy.most <= 3
    assert legacy.total > 3


async def test_connection_released_after_the_close_is_closed() -> None:
    legacy = CountingLegacy()
    async with pool_of(legacy, PoolLimits(2)) as pool:
        connection = await pool.acquire(0.0, HANG_TIMEOUT)
        await finish(connection)
        pool.close()
        closed_before = connection.closed
        pool.release(connection)
        assert (closed_before, connection.closed) == (False, True)
        await until(lambda: not pool.open)


async def test_idle_connection_closed_for_its_slot_is_not_used_again() -> None:
    legacy = CountingLegacy()
    async with pool_of(legacy, PoolLimits(1)) as pool:
        idle = await pool.acquire(0.0, HANG_TIMEOUT)
        await finish(idle)
        pool.release(idle)
        renewed = asyncio.create_task(pool.acquire(-1.0, HANG_TIMEOUT))  # no idle connection is young enough
        await asyncio.sleep(0)
        assert pool.reuse(HANG_TIMEOUT, asyncio.get_running_loop().time()) is None
        connection = await renewed
        assert connection is not idle
        pool.release(connection)
    assert legacy.total == 2


@pytest.mark.parametrize("noticed", [False, True], ids=["in-the-socket", "by-the-loop"])
async def test_connection_that_ends_while_a_caller_waits_is_not_used(noticed: bool) -> None:
    legacy = CountingLegacy()
    async with pool_of(legacy, PoolLimits(1)) as pool:
        released = await pool.acquire(0.0, HANG_TIMEOUT)
        await finish(released)
        waiting = asyncio.create_task(pool.acquire(-1.0, HANG_TIMEOUT))
        await asyncio.sleep(0)
        legacy.end_connections()
        pool.release(released)
        if noticed:
            released.eof_received()
        connection = await waiting
        assert connection is not released
        await finish(connection)
        pool.release(connection)
        assert pool.open == 1


async def test_idle_connection_is_closed_by_our_timer() -> None:
    legacy = CountingLegacy()
    async with upstream_of(legacy, PoolLimits(4, keep_alive=0.1)) as upstream:
        await asyncio.gather(*(call(upstream, "GET", "/") for _ in range(4)))
        await until_closed(legacy, upstream)
        assert await call(upstream, "POST", "/") == INNOCENT


async def test_idle_connection_is_closed_before_legacys_limit() -> None:
    legacy = CountingLegacy(OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=1\r\n\r\n"))
    async with upstream_of(legacy, PoolLimits(4)) as upstream:
        await call(upstream, "GET", "/")
        await legacy.until_open(0)


async def test_connection_over_its_age_is_closed_between_requests() -> None:
    legacy = CountingLegacy()
    async with upstream_of(legacy, PoolLimits(4, max_age=0.1)) as upstream:
        for _ in range(20):
            assert await call(upstream, "GET", "/") == INNOCENT
            await asyncio.sleep(0.02)
        assert legacy.total >= 3
        await legacy.until_open(0)


async def test_connection_closed_by_legacy_releases_its_slot() -> None:
    writers: list[asyncio.StreamWriter] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await read_head(reader)
        writer.write(OK)

    async with scripted(script) as port:
        upstream = HttpUpstream(f"http://127.0.0.1:{port}", LONG_TIMEOUTS, PoolLimits(2))
        for _ in range(6):
            assert await call(upstream, "GET", "/") == INNOCENT
            await asyncio.sleep(0.01)
        await until(lambda: not upstream.pool.open)
        upstream.close()


async def test_waiters_are_served_in_their_order() -> None:
    async with pool_of(CountingLegacy(), PoolLimits(1)) as pool:
        served: list[int] = []

        async def take(number: int) -> None:
            connection = await pool.acquire(HANG_TIMEOUT, HANG_TIMEOUT)
            served.append(number)
            await finish(connection)
            pool.release(connection)

        await asyncio.gather(*(take(number) for number in range(8)))
        assert served == list(range(8))
        assert pool.open == 1


async def test_waiter_past_its_timeout_is_overloaded() -> None:
    async with pool_of(CountingLegacy(), PoolLimits(1)) as pool:
        connection = await pool.acquire(HANG_TIMEOUT, HANG_TIMEOUT)
        with pytest.raises(Overloaded):
            await pool.acquire(1, 0.05)
        await finish(connection)
        pool.release(connection)
        assert await pool.acquire(HANG_TIMEOUT, HANG_TIMEOUT) is connection


@pytest.mark.parametrize("reusable", [True, False])
async def test_cancelled_waiter_passes_its_slot_on(reusable: bool) -> None:
    async with pool_of(CountingLegacy(), PoolLimits(1)) as pool:
        connection = await pool.acquire(HANG_TIMEOUT, HANG_TIMEOUT)
        waiter = asyncio.create_task(pool.acquire(HANG_TIMEOUT, HANG_TIMEOUT))
        await asyncio.sleep(0)
        await finish(connection)
        if not reusable:
            connection.error = Overloaded()
        pool.release(connection)
        if not reusable:
            while not connection.disconnected:
                await asyncio.sleep(0)
        waiter.cancel()  # in the turn in which it was given the connection, or the slot
        await asyncio.gather(waiter, return_exceptions=True)
        again = await pool.acquire(HANG_TIMEOUT, HANG_TIMEOUT)
        assert (again is connection) == reusable


@pytest.mark.seeded
async def test_cancelled_callers_release_every_slot() -> None:
    legacy = CountingLegacy()
    choose = random.Random(seed_of(7))
    async with upstream_of(legacy, PoolLimits(3)) as upstream:
        for _ in range(40):
            tasks = [asyncio.create_task(call(upstream, choose.choice(("GET", "POST")), "/")) for _ in range(8)]
            for _ in range(choose.randrange(12)):
                await asyncio.sleep(0)
            for task in choose.sample(tasks, 5):
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(outcome == INNOCENT or isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert await asyncio.gather(*(call(upstream, "POST", "/") for _ in range(30))) == [INNOCENT] * 30
    assert legacy.most <= 3 + 8  # dropped ones close in legacy a moment later


async def test_replaced_upstreams_close_their_connections() -> None:
    legacy = CountingLegacy()
    async with scripted(legacy) as port:
        for _ in range(6):  # reloads under load
            legacy.gate.clear()
            upstream = HttpUpstream(f"http://127.0.0.1:{port}", LONG_TIMEOUTS, PoolLimits(8))
            running = [asyncio.create_task(call(upstream, "GET", "/")) for _ in range(12)]
            await legacy.until_open(8)
            upstream.close()
            legacy.gate.set()
            assert await asyncio.gather(*running) == [INNOCENT] * 12
            await until_closed(legacy, upstream)
