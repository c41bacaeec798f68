"""Bodies that do not come: legacy is connected once the body has begun, or after a delay."""

from __future__ import annotations

import asyncio

from starlette.types import Message

from proxy.backends.legacy.early_heads import EarlyHeads
from proxy.gateway.timeouts import Timeouts
from tests.support.forwarding import Legacy, forwarding, request
from tests.support.sockets import exchange
from tests.support.waiting import HANG_TIMEOUT

NEVER = Timeouts(body_delay=10 * HANG_TIMEOUT)
AT_ONCE = Timeouts(body_delay=0.01)
REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(HANG_TIMEOUT):
        return await reader.readuntil(b"\r\n\r\n")


async def test_body_that_does_not_begin_uses_no_connection() -> None:
    legacy = Legacy()
    async with forwarding(legacy, NEVER) as (port, forwarder):
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        for _, writer in clients:
            writer.write(request("POST / HTTP/1.1", "Content-Length: 5"))
        answer = await exchange(port, request("POST / HTTP/1.1", "Connection: close", "Content-Length: 2", body=b"ok"))
        assert answer.startswith(b"HTTP/1.1 200")
        assert (legacy.connections, forwarder.upstream.pool.open) == (1, 1)
        first, writer = clients[0]
        writer.write(b"hello")
        assert (await answer_of(first)).startswith(b"HTTP/1.1 200")
        for _, writer in clients:
            writer.close()
        assert forwarder.failures == []
    assert len(legacy.heads) == 2


async def test_legacy_may_refuse_by_the_head_alone_after_the_delay() -> None:
    async with forwarding(Legacy(REFUSED), AT_ONCE) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST / HTTP/1.1", "Content-Length: 5"))
        assert (await answer_of(reader)).startswith(b"HTTP/1.1 401")
        writer.close()


async def test_few_requests_are_sent_before_their_body() -> None:
    early = EarlyHeads(2)
    bodies: list[asyncio.Queue[Message]] = [asyncio.Queue() for _ in range(3)]
    sent: list[int] = []

    async def send(number: int) -> None:
        async with early.body_of(bodies[number].get, 0.01) as receive:
            sent.append(number)
            assert (await receive())["body"] == b"%d" % number

    tasks = [asyncio.create_task(send(number)) for number in range(3)]
    async with asyncio.timeout(HANG_TIMEOUT):
        while len(sent) < 2:
            await asyncio.sleep(0.01)
        bodies[2].put_nowait({"type": "http.request", "body": b"2"})
        await tasks[2]
        assert (sent[2], early.used) == (2, 2)
        for number in range(2):
            bodies[number].put_nowait({"type": "http.request", "body": b"%d" % number})
        await asyncio.gather(*tasks)
    assert early.used == 0


async def test_body_after_the_delay_is_forwarded() -> None:
    received: list[bytes] = []

    async def legacy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        begun.set()
        received.append(await reader.readexactly(5))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await reader.read()

    begun = asyncio.Event()
    async with forwarding(legacy, AT_ONCE) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST / HTTP/1.1", "Content-Length: 5"))
        await asyncio.wait_for(begun.wait(), HANG_TIMEOUT)
        writer.write(b"hello")
        assert (await answer_of(reader)).startswith(b"HTTP/1.1 204")
        writer.close()
    assert received == [b"hello"]


async def test_expectation_is_forwarded_without_delay() -> None:
    async with forwarding(Legacy(REFUSED), NEVER) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST / HTTP/1.1", "Expect: 100-continue", "Content-Length: 5"))
        assert (await answer_of(reader)).startswith(b"HTTP/1.1 401")
        writer.close()


async def test_client_that_leaves_before_its_body_never_reaches_legacy() -> None:
    legacy = Legacy()
    async with forwarding(legacy, NEVER) as (port, forwarder):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST / HTTP/1.1", "Content-Length: 5"))
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await exchange(port, request("GET / HTTP/1.1", "Connection: close"))
        assert forwarder.failures == []
    assert len(legacy.heads) == 1
