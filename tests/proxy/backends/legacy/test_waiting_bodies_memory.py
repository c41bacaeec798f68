"""Bodies that wait for a connection to legacy are charged to the memory budget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.backends.legacy.unfinished_bodies import BUFFER
from proxy.gateway.timeouts import Timeouts
from proxy.server.memory_budget import BUDGET_KEY, MemoryBudget
from tests.support.forwarding import OK, Forwarder
from tests.support.sockets import read_head, scripted, serving
from tests.support.waiting import HANG_TIMEOUT, until
from tests.support.websocket_server import with_state

LENGTH = 4 * BUFFER
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def one_slot(budget: MemoryBudget) -> AsyncIterator[tuple[int, Stream]]:
    """Start a gateway whose legacy may have one unfinished body; yield its port, and the upload that has the slot."""
    begun = asyncio.Event()

    async def answer_whole_bodies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            begun.set()
            await reader.readexactly(LENGTH)
            writer.write(OK)

    async with scripted(answer_whole_bodies) as legacy:
        forwarder = Forwarder(legacy, Timeouts(), max_connections=2)
        async with serving(with_state(forwarder, {BUDGET_KEY: budget}), lifespan="on") as port:
            try:
                holder = await begin_upload(port, 1)
                await asyncio.wait_for(begun.wait(), HANG_TIMEOUT)
                yield port, holder
                holder[1].transport.abort()
            finally:
                forwarder.upstream.close()


async def begin_upload(port: int, sent: int) -> Stream:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    writer.write(head % LENGTH + b"x" * sent)
    return reader, writer


async def finish(upload: Stream, sent: int) -> bytes:
    upload[1].write(b"x" * (LENGTH - sent))
    return await status_of(upload)


async def status_of(upload: Stream) -> bytes:
    async with asyncio.timeout(HANG_TIMEOUT):
        return (await upload[0].readline()).split()[1]


async def test_waiting_body_is_charged_until_it_is_forwarded() -> None:
    budget = MemoryBudget()
    async with one_slot(budget) as (port, holder):
        waiting = await begin_upload(port, BUFFER)
        await until(lambda: budget.used == BUFFER)
        assert [await finish(holder, 1), await finish(waiting, BUFFER)] == [b"200", b"200"]
        await until(lambda: budget.used == 0)
        waiting[1].transport.abort()


async def test_largest_waiting_body_is_refused_beyond_the_budget() -> None:
    budget = MemoryBudget(2 * BUFFER - 2, idle_after=0)
    async with one_slot(budget) as (port, _):
        largest = await begin_upload(port, BUFFER)
        await until(lambda: budget.used == BUFFER)
        other = await begin_upload(port, BUFFER - 1)
        assert await status_of(largest) == b"503"
        await until(lambda: budget.used == BUFFER - 1)
        for _, writer in (largest, other):
            writer.transport.abort()
        await until(lambda: budget.used == 0)
