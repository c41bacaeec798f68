"""Flow control and memory of an open WebSocket on the gateway's listener."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.server.memory_budget import BUDGET_KEY
from proxy.websocket.peer import PONG_DELAY
from tests.support.event_loop import advance
from tests.support.sockets import serving
from tests.support.waiting import PROMPT_TIMEOUT, until
from tests.support.websocket_apps import ACCEPTED, Recorder, pinging, pour
from tests.support.websocket_client import frame, handshake, raw_client
from tests.support.websocket_server import with_state


async def test_pongs_for_a_client_that_does_not_read_are_bounded() -> None:
    # Only the latest pong is retained, as RFC 6455 §5.5.3 allows; all of them would be 10 MB.
    app = Recorder()
    ping = frame(9, b"x" * 125)
    async with serving(app) as port, raw_client(port, buffer=4096) as client:
        for _ in range(80):
            client.writer.write(ping * 1000)
            await client.writer.drain()
        client.writer.write(frame(9, b"last"))
        pongs = 1
        while (await client.read_frame())[1] != b"last":
            pongs += 1
        assert pongs < 60_000


@pytest.mark.parametrize("cut", [0, 1, 9, 20, 30])
async def test_pong_follows_the_answers_to_earlier_messages(cut: int) -> None:
    sent = frame(1, b"a") + frame(9, b"1") + frame(9, b"2") + frame(2, b"") + frame(1, b"b") + frame(9, b"3")
    async with serving(Recorder()) as port, raw_client(port, handshake() + sent[:cut]) as client:
        client.writer.write(sent[cut:] + frame(8))
        frames = [await client.read_frame() for _ in range(7)]
    assert frames == [(1, b"a"), (10, b"1"), (10, b"2"), (2, b""), (1, b"b"), (10, b"3"), (8, b"")]


async def test_app_that_receives_nothing_delays_pongs_for_a_while() -> None:
    ended = asyncio.Event()

    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPTED)
        await ended.wait()
        assert [(await receive())["text"] for _ in "ab"] == ["a", "b"]

    async with serving(deaf) as port, raw_client(port) as client:
        client.writer.write(frame(1, b"a") + frame(9, b"1") + frame(1, b"b") + frame(9, b"2"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.read_frame(), 0.1)
        await advance(PONG_DELAY)
        assert [await client.read_frame() for _ in "12"] == [(10, b"1"), (10, b"2")]
        ended.set()
        assert await client.read_close() == (1000, "")


async def test_pings_that_an_app_does_not_reach_pause_its_client() -> None:
    reached = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPTED)
        await reached.wait()
        await receive()

    flood = frame(9, b"x" * 125) * 100_000
    async with serving(app) as port, raw_client(port) as client:
        pouring = asyncio.ensure_future(pour(client.writer, flood[: len(flood) // 10], 10))
        await asyncio.sleep(0.3)
        assert not pouring.done(), "it would have taken 12 MB"
        reached.set()
        pongs = 0
        while pongs < 100_000:
            received = await client.reader.read(1 << 20)
            assert received
            pongs += received.count(b"\x8a\x7d")
        await pouring


async def test_slow_app_pauses_its_client() -> None:
    taken = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPTED)
        await taken.wait()
        size = 0
        while (message := await receive())["type"] != "websocket.disconnect":
            size += len(message["bytes"])
        sizes.append(size)

    sizes: list[int] = []
    async with pinging(app, timeout=PROMPT_TIMEOUT) as port, raw_client(port) as client:
        pouring = asyncio.ensure_future(pour(client.writer, frame(2, b"x" * 65536), 400))
        await asyncio.sleep(0.6)
        assert not pouring.done(), "it would have taken 25 MB"
        taken.set()
        await pouring
        client.writer.write(frame(8))
        await client.read_close()
        await until(lambda: sizes)
    assert sizes == [400 * 65536]


class Budget:
    """A `BufferBudget` of a given size, with the maximum that was in use."""

    def __init__(self, size: int) -> None:
        self.size, self.taken, self.peak = size, 0, 0

    def acquire(self, size: int) -> bool:
        if self.taken + size > self.size:
            return False
        self.taken += size
        self.peak = max(self.peak, self.taken)
        return True

    def release(self, size: int) -> None:
        self.taken -= size

    def open(self, _: object) -> Budget:
        return self

    def close(self) -> None:
        pass


@asynccontextmanager
async def budgeted(app: ASGIApp, size: int) -> AsyncIterator[tuple[int, Budget]]:
    """Serve the app with `size` bytes for all WebSockets together."""
    budget = Budget(size)
    async with serving(with_state(app, {BUDGET_KEY: budget}), lifespan="on") as port:
        yield port, budget


async def test_held_messages_are_charged_and_released() -> None:
    async with budgeted(Recorder(), 3_000_000) as (port, budget), raw_client(port) as client:
        for _ in range(3):
            client.writer.write(frame(2, b"x" * 1_000_000) + frame(2, b"y", fin=False))
            assert len((await client.read_frame())[1]) == 1_000_000
            client.writer.write(frame(0, b"z"))
            assert (await client.read_frame())[1] == b"yz"
        assert budget.peak >= 1_000_000
        client.writer.write(frame(2, b"unfinished", fin=False) + frame(8))
        assert await client.read_close() == (1005, "")
        assert budget.taken == 0


async def test_message_over_the_budget_is_1013_for_its_client() -> None:
    async with budgeted(Recorder(), 1_000_000) as (port, budget), raw_client(port) as other, raw_client(port) as client:
        client.writer.write(frame(1, b"before") + frame(2, b"x" * 2_000_000))
        assert await client.read_frame() == (1, b"before")
        assert await client.read_close() == (1013, "")
        other.writer.write(frame(2, b"y" * 500_000))
        assert len((await other.read_frame())[1]) == 500_000
        assert budget.taken == 0


async def test_disconnect_within_a_message_releases_its_part() -> None:
    app = Recorder()
    async with budgeted(app, 1_000_000) as (port, budget):
        async with raw_client(port) as client:
            client.writer.write(frame(2, b"x" * 500_000, length=900_000))
            await client.writer.drain()
            while budget.taken < 500_000:
                await asyncio.sleep(0.01)
        await app.end()
        assert budget.taken == 0


async def test_concurrent_sends_of_an_app_are_allowed() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPTED)

        async def speak() -> None:
            for _ in range(20):
                await send({"type": "websocket.send", "bytes": b"x" * 65536})

        await asyncio.gather(*[speak() for _ in range(5)])

    async with serving(app) as port, raw_client(port) as client:
        await asyncio.sleep(0.1)
        for _ in range(100):
            assert (await client.read_frame())[0] == 2
        assert (await client.read_close())[0] == 1000


async def test_many_small_fragments_are_charged_by_size() -> None:
    app = Recorder()
    async with serving(app) as port, raw_client(port) as client:
        client.writer.write(frame(1, b"a", fin=False) + frame(0, b"b", fin=False) * 10_000 + frame(0, b"c"))
        opcode, data = await client.read_frame()
        assert (opcode, data) == (1, b"a" + b"b" * 10_000 + b"c")
