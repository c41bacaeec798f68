"""Bodies that stream through the gateway, and clients that leave."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Scope

from proxy.backends.legacy.http import HttpUpstream
from proxy.gateway.timeouts import Timeouts
from tests.support.event_loop import advance
from tests.support.forwarding import OK, Legacy, forwarding, request
from tests.support.sockets import exchange, read_head, scripted
from tests.support.waiting import HANG_TIMEOUT


async def test_answer_before_the_end_of_the_request_is_forwarded() -> None:
    legacy = Legacy(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig")
    async with forwarding(legacy) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST / HTTP/1.1", "Content-Length: 1000000", body=b"x" * 1000))
        head = await asyncio.wait_for(read_head(reader), HANG_TIMEOUT)
        assert head.startswith(b"HTTP/1.1 413")
        writer.close()


async def test_first_chunk_arrives_before_the_second_is_sent() -> None:
    go_on = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await go_on.wait()
        writer.write(b"6\r\nsecond\r\n0\r\n\r\n")

    async with forwarding(script) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request())
        await read_head(reader)
        assert await asyncio.wait_for(reader.readexactly(10), HANG_TIMEOUT) == b"5\r\nfirst\r\n"
        go_on.set()
        assert await reader.read() == b"6\r\nsecond\r\n0\r\n\r\n"
        writer.close()


async def test_slow_client_slows_the_legacy() -> None:
    written = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (200 * 1024 * 1024))
        for _ in range(200):
            writer.write(b"x" * 1024 * 1024)
            await writer.drain()
            written += 1

    async with forwarding(script, Timeouts(response=0.3, idle=0.3)) as (port, _):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(request())
        await asyncio.sleep(1.0)
        assert written < 50  # the rest waits in the legacy, and the client's slowness is not the legacy's time-out
        writer.close()


async def test_client_that_delays_an_answers_head_is_waited_for() -> None:
    delayed, read_on, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    messages = list[Message]()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await go_on.wait()
        writer.write(b"half")

    async def receive() -> Message:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def send(message: Message) -> None:
        delayed.set()
        await read_on.wait()
        messages.append(message)

    scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"x")]}
    async with scripted(script) as port:
        upstream = HttpUpstream(f"http://127.0.0.1:{port}", Timeouts(response=10.0, idle=10.0))
        call = asyncio.create_task(upstream(scope, receive, send))
        await delayed.wait()
        for _ in range(5):
            await advance(9.0)
        read_on.set()
        await advance(0.0)
        go_on.set()
        await call
        upstream.close()
    assert b"".join(message.get("body", b"") for message in messages) == b"halfhalf"
    assert not messages[-1]["more_body"]


async def test_slow_legacy_slows_the_client() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await asyncio.sleep(3600)

    async with forwarding(script) as (port, _):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST / HTTP/1.1", f"Content-Length: {200 * 1024 * 1024}"))
        sent = 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                while True:
                    writer.write(b"x" * 1024 * 1024)
                    await writer.drain()
                    sent += 1
        assert sent < 50
        writer.transport.abort()


async def test_client_disconnect_cancels_the_request() -> None:
    forwarded, closed = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        forwarded.set()
        assert await reader.read() == b""
        closed.set()

    async with forwarding(script) as (port, forwarder):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request())
        await asyncio.wait_for(forwarded.wait(), HANG_TIMEOUT)
        writer.close()
        await asyncio.wait_for(closed.wait(), HANG_TIMEOUT)
        assert forwarder.failures == []


async def test_client_disconnect_while_sending_cancels_the_request() -> None:
    forwarded, closed = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        forwarded.set()
        await reader.read()
        closed.set()

    async with forwarding(script) as (port, forwarder):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST / HTTP/1.1", "Content-Length: 100", body=b"x"))
        await asyncio.wait_for(forwarded.wait(), HANG_TIMEOUT)
        writer.close()
        await asyncio.wait_for(closed.wait(), HANG_TIMEOUT)
        assert forwarder.failures == []


async def test_head_without_body_is_forwarded_and_ends_with_its_client() -> None:
    forwarded, closed = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"content-length: 10" in await read_head(reader)
        forwarded.set()
        assert await reader.read() == b""
        closed.set()

    async with forwarding(script) as (port, forwarder):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST / HTTP/1.1", "Content-Length: 10"))
        await asyncio.wait_for(forwarded.wait(), HANG_TIMEOUT)
        writer.close()
        await asyncio.wait_for(closed.wait(), HANG_TIMEOUT)
        assert forwarder.failures == []


async def test_legacy_ignoring_expect_still_receives_the_body() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        assert await reader.readexactly(2) == b"hi"
        writer.write(OK)

    async with forwarding(script, Timeouts(continue_after=0.1)) as (port, _):
        raw = request("POST / HTTP/1.1", "Expect: 100-continue", "Content-Length: 2", body=b"hi")
        assert (await exchange(port, raw)).endswith(b"ok")


async def test_large_upload_arrives_whole() -> None:
    received = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        await read_head(reader)
        while received < 8_000_000:
            received += len(await reader.read(1 << 16))
            await asyncio.sleep(0)
        writer.write(OK)

    async with forwarding(script) as (port, _):
        answer = await exchange(port, request("POST / HTTP/1.1", "Content-Length: 8000000", body=b"x" * 8_000_000))
    assert answer.endswith(b"ok")
    assert received == 8_000_000
