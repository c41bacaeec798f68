"""The budget for buffered bytes: its accounts, and connections on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive, Scope, Send

from proxy.gateway.request_context import context_of
from proxy.server.exchange import BODY_BUFFER
from proxy.server.memory_budget import BUDGET_KEY, MemoryBudget
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT, until
from tests.support.websocket_client import frame, raw_client
from tests.support.websocket_server import with_state

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Holder:
    """A holder that records whether it was ended."""

    def __init__(self, budget: MemoryBudget, size: int, age: float = 0) -> None:
        self.evicted = False
        self.account = budget.open(self.evict)
        assert self.account.acquire(size)
        self.account.changed_at -= age

    def evict(self) -> None:
        self.evicted = True


def test_largest_idle_holder_is_evicted_first() -> None:
    budget = MemoryBudget(100)
    small, large, active = Holder(budget, 20, 9), Holder(budget, 30, 9), Holder(budget, 40)
    assert active.account.acquire(20)
    assert [each.evicted for each in (small, large, active)] == [False, True, False]
    assert budget.used == 80


def test_requesting_holder_is_evicted_where_none_is_idle() -> None:
    budget = MemoryBudget(100)
    other, active = Holder(budget, 60), Holder(budget, 40)
    assert not active.account.acquire(1)
    assert not other.evicted
    assert budget.used == 60
    assert not active.account.acquire(1)


def test_holder_in_use_is_not_idle() -> None:
    budget = MemoryBudget(100)
    used, waiting = Holder(budget, 60, 9), Holder(budget, 30, 9)
    used.account.in_use = True
    assert budget.open(lambda: None).acquire(40)
    assert [each.evicted for each in (used, waiting)] == [False, True]
    assert not budget.open(lambda: None).acquire(1)


def test_release_makes_a_holder_active() -> None:
    budget = MemoryBudget(100)
    releasing, idle = Holder(budget, 60, 9), Holder(budget, 30, 9)
    releasing.account.release(1)
    assert budget.open(lambda: None).acquire(40)
    assert [each.evicted for each in (releasing, idle)] == [False, True]


def test_idle_holders_are_evicted_down_to_the_limit() -> None:
    budget = MemoryBudget(100)
    holders = [Holder(budget, 10, 9) for _ in range(10)]
    budget.limit = 50
    assert Holder(budget, 10).account.size == 10
    assert sum(each.evicted for each in holders) == 6


def test_closed_account_releases_once() -> None:
    budget = MemoryBudget(100)
    account = Holder(budget, 60).account
    account.close()
    account.release(60)
    account.close()
    assert (budget.used, dict(budget.accounts)) == (0, {})


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the whole body, as native apps do, and answer its size."""
    connection = context_of(scope).connection
    assert connection is not None
    connection.retain_body()
    parts = []
    while (message := await receive())["type"] == "http.request":
        parts.append(message["body"])
        if not message["more_body"]:
            size = sum(map(len, parts))
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x" * size})
            return


@asynccontextmanager
async def running(limit: int, idle_after: float = 1.0) -> AsyncIterator[tuple[int, MemoryBudget, list[Stream]]]:
    budget, streams = MemoryBudget(limit, idle_after=idle_after), list[Stream]()
    async with serving(with_state(app, {BUDGET_KEY: budget}), lifespan="on") as port:
        try:
            yield port, budget, streams
        finally:
            for _, writer in streams:
                writer.transport.abort()


async def upload(port: int, sent: int, length: int) -> Stream:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length + b"x" * sent)
    return reader, writer


async def test_new_upload_evicts_stalled_ones() -> None:
    async with running(5_000_000, idle_after=0.2) as (port, budget, streams):
        for number in range(1, 5):
            streams.append(await upload(port, 1_000_000 + number, 2_000_000))
        await until(lambda: budget.used == 4_000_010)
        await asyncio.sleep(0.3)
        streams.append(await upload(port, 2_000_000, 2_000_000))
        assert (await streams[-1][0].readline()).split()[1] == b"200"
        assert (await streams[3][0].readline()).split()[1] == b"503"
        for _, writer in streams:
            writer.transport.abort()
        await until(lambda: budget.used == 0)


async def test_body_that_the_app_does_not_receive_is_charged() -> None:
    budget, receiving = MemoryBudget(), asyncio.Event()

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await receiving.wait()
        await app(scope, receive, send)

    async with serving(with_state(late, {BUDGET_KEY: budget}), lifespan="on") as port:
        reader, writer = await upload(port, 1_000_000, 1_000_000)
        async with asyncio.timeout(HANG_TIMEOUT):
            while budget.used <= BODY_BUFFER:
                await asyncio.sleep(0.01)
            receiving.set()
            assert (await reader.readline()).split()[1] == b"200"
        writer.transport.abort()
        await until(lambda: budget.used == 0)


async def test_answers_that_are_not_read_are_entered_and_released() -> None:
    async with running(50_000_000) as (port, budget, streams):
        streams.append(await upload(port, 10_000_000, 10_000_000))
        await streams[0][0].readline()
        await until(lambda: budget.used == 20_000_000)
        streams[0][1].transport.abort()
        await until(lambda: budget.used == 0)


async def test_released_body_is_not_charged_during_the_answer() -> None:
    budget, answering = MemoryBudget(), asyncio.Event()

    async def forward(scope: Scope, receive: Receive, send: Send) -> None:
        connection = context_of(scope).connection
        assert connection is not None
        connection.retain_body()
        while (await receive())["more_body"]:
            pass
        charged.append(budget.used)
        connection.release_body()
        charged.append(budget.used)
        answering.set()
        await asyncio.Event().wait()

    charged = list[int]()
    async with serving(with_state(forward, {BUDGET_KEY: budget}), lifespan="on") as port:
        _, writer = await upload(port, 300_000, 300_000)
        async with asyncio.timeout(HANG_TIMEOUT):
            await answering.wait()
        writer.transport.abort()
    assert charged == [300_000, 0]


async def test_body_beyond_the_limit_alone_is_503() -> None:
    async with running(1_000_000) as (port, budget, streams):
        streams.append(await upload(port, 1_500_000, 1_600_000))
        assert (await streams[0][0].readline()).split()[1] == b"503"
        await until(lambda: budget.used == 0)


async def hoarder(scope: Scope, receive: Receive, send: Send) -> None:
    """Retain every message, as a WebSocket app."""
    await receive()
    await send({"type": "websocket.accept"})
    retain = scope["extensions"]["proxy.memory"]["retain"]
    while (message := await receive())["type"] == "websocket.receive":
        retain(len(message["bytes"]))
        await send({"type": "websocket.send", "text": "held"})


async def test_idle_websocket_is_evicted_for_its_apps_messages() -> None:
    budget = MemoryBudget(5_000, idle_after=0.2)
    async with (
        serving(with_state(hoarder, {BUDGET_KEY: budget}), lifespan="on") as port,
        raw_client(port) as idle,
        raw_client(port) as active,
    ):
        idle.writer.write(frame(2, bytes(4_000)))
        assert (await idle.read_frame())[1] == b"held"
        await asyncio.sleep(0.3)
        active.writer.write(frame(2, bytes(2_000)))
        assert (await active.read_frame())[1] == b"held"
        assert (await idle.read_frame())[1][:2] == (1013).to_bytes(2, "big")
        assert budget.used == 2_000
    await until(lambda: budget.used == 0)
