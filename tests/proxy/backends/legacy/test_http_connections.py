"""Connections to a legacy that are used again, closed, or waited for."""

from __future__ import annotations

import asyncio

import pytest

from proxy.gateway.errors import Overloaded, Reset, Unreachable
from proxy.gateway.timeouts import Timeouts
from tests.support.event_loop import advance
from tests.support.forwarding import OK, Forwarder, Legacy, forwarding, request
from tests.support.sockets import exchange, read_head, scripted, serving
from tests.support.waiting import HANG_TIMEOUT


async def test_connections_are_used_again() -> None:
    legacy = Legacy()
    async with forwarding(legacy) as (port, _):
        for _ in range(5):
            await exchange(port, request())
    assert legacy.connections == 1


async def test_closing_answer_is_the_connections_last() -> None:
    legacy = Legacy(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    async with forwarding(legacy) as (port, _):
        for _ in range(2):
            assert (await exchange(port, request())).endswith(b"ok")
    assert legacy.connections == 2


@pytest.mark.parametrize("excess", [b"!", b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", OK[:20]])
async def test_connection_with_excess_bytes_is_not_used_again(excess: bytes) -> None:
    legacy = Legacy(OK + excess)
    async with forwarding(legacy) as (port, forwarder):
        for _ in range(3):
            assert (await exchange(port, request())).endswith(b"\r\n\r\nok")
        assert forwarder.failures == []
    assert legacy.connections == 3


async def test_answer_can_end_with_its_connection() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        await writer.drain()

    async with forwarding(script) as (port, _):
        answer = await exchange(port, request())
    assert answer.endswith(b"all of it\r\n0\r\n\r\n")


class Forgetful:
    """A legacy that answers the first request of its first connection, and closes that connection at the second."""

    def __init__(self) -> None:
        self.requests = 0
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await read_head(reader)
        writer.write(OK)
        self.requests += 1
        await read_head(reader)
        self.requests += 1
        if self.connections > 1:
            writer.write(OK)


async def test_safe_request_survives_a_pooled_connection_that_closes() -> None:
    legacy = Forgetful()
    async with forwarding(legacy) as (port, forwarder):
        assert (await exchange(port, request())).endswith(b"ok")
        assert (await exchange(port, request())).endswith(b"ok")
        assert forwarder.failures == []
    assert legacy.connections == 2


@pytest.mark.parametrize("begun", [b"H", OK[:20], b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["byte", "head", "interim"])
async def test_safe_request_is_not_repeated_once_an_answer_has_begun(begun: bytes) -> None:
    requests = list[bytes]()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await read_head(reader))
        writer.write(OK)
        requests.append(await read_head(reader))
        writer.write(begun)

    async with forwarding(script) as (port, forwarder):
        await exchange(port, request())
        assert (await exchange(port, request())).startswith(b"HTTP/1.1 502")
        assert [type(failure) for failure in forwarder.failures] == [Reset]
    assert len(requests) == 2


async def test_safe_request_on_a_new_connection_is_sent_once() -> None:
    heads = list[bytes]()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))

    async with forwarding(script) as (port, forwarder):
        assert (await exchange(port, request())).startswith(b"HTTP/1.1 502")
        assert [type(failure) for failure in forwarder.failures] == [Reset]
    assert len(heads) == 1


async def test_unsafe_request_is_never_sent_twice() -> None:
    legacy = Forgetful()
    async with forwarding(legacy) as (port, forwarder):
        await exchange(port, request())
        answer = await exchange(port, request("POST / HTTP/1.1", "Content-Length: 0"))
    assert answer.startswith(b"HTTP/1.1 502")
    assert [type(failure) for failure in forwarder.failures] == [Reset]
    assert legacy.requests == 2


async def test_unsafe_request_avoids_a_long_idle_connection() -> None:
    legacy = Forgetful()
    async with forwarding(legacy) as (port, forwarder):
        await exchange(port, request())
        await asyncio.sleep(1.1)
        answer = await exchange(port, request("POST / HTTP/1.1", "Content-Length: 0"))
        assert answer.endswith(b"ok")
        assert forwarder.failures == []
    assert legacy.connections == 2


async def test_legacys_keep_alive_limit_is_respected() -> None:
    legacy = Legacy(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1, max=5\r\nContent-Length: 2\r\n\r\nok")
    async with forwarding(legacy) as (port, _):
        await exchange(port, request())
        await exchange(port, request())
    assert legacy.connections == 2


async def test_unsolicited_bytes_close_the_connection() -> None:
    answered, closed = asyncio.Event(), asyncio.Semaphore(0)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        answered.clear()
        writer.write(OK)
        await answered.wait()
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
        await reader.read()
        closed.release()

    async with forwarding(script) as (port, forwarder):
        for _ in range(2):
            assert (await exchange(port, request())).endswith(b"ok")
            answered.set()
            await asyncio.wait_for(closed.acquire(), HANG_TIMEOUT)
        assert forwarder.failures == []


async def test_requests_beyond_the_connection_limit_wait() -> None:
    under_way = most = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        while True:
            await read_head(reader)
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.02)
            under_way -= 1
            writer.write(OK)

    async with scripted(script) as legacy, serving(forwarder := Forwarder(legacy, max_connections=2)) as port:
        answers = await asyncio.gather(*(exchange(port, request()) for _ in range(10)))
        forwarder.upstream.close()
    assert all(answer.endswith(b"ok") for answer in answers)
    assert most == 2


async def test_expired_wait_releases_no_slot() -> None:
    forwarded, go_on = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            forwarded.set()
            await go_on.wait()
            writer.write(OK)

    async with scripted(script) as legacy:
        forwarder = Forwarder(legacy, Timeouts(connect=10.0, response=HANG_TIMEOUT), max_connections=1)
        async with serving(forwarder) as port:
            first = asyncio.create_task(exchange(port, request()))
            await forwarded.wait()
            second = asyncio.create_task(exchange(port, request()))
            while not forwarder.failures:
                await advance(1.0)
            assert [type(failure) for failure in forwarder.failures] == [Overloaded]
            assert (await second).startswith(b"HTTP/1.1 503")
            go_on.set()
            assert (await first).endswith(b"ok")
            assert (await exchange(port, request())).endswith(b"ok")
            forwarder.upstream.close()


async def test_early_answer_gives_a_waiting_write_a_new_connection() -> None:
    forwarded, go_on = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"content-length: 5" in await read_head(reader):
            forwarded.set()
            await go_on.wait()
        writer.write(OK)

    timeouts = Timeouts(connect=HANG_TIMEOUT, body_delay=0.01)
    async with forwarding(script, timeouts, max_connections=1) as (port, forwarder):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST / HTTP/1.1", "Content-Length: 5", body=b"he"))
        await forwarded.wait()
        second = asyncio.create_task(exchange(port, request("POST / HTTP/1.1", "Content-Length: 2", body=b"ok")))
        await advance(0.0)
        go_on.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert (await second).endswith(b"ok")
        assert forwarder.failures == []
        writer.close()


async def test_failed_connection_releases_its_slot() -> None:
    async with scripted(Legacy()) as legacy:
        pass
    async with serving(forwarder := Forwarder(legacy, max_connections=1)) as port:
        for _ in range(3):
            assert (await exchange(port, request())).startswith(b"HTTP/1.1 502")
    assert [type(failure) for failure in forwarder.failures] == [Unreachable] * 3
