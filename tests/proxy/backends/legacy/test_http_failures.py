"""Failures of a legacy."""

from __future__ import annotations

import asyncio

import pytest

from demo.ports import free_port
from proxy.backends.legacy.connection import Connection
from proxy.gateway.errors import AnswerTimeout, BadAnswer, ConnectTimeout, Reset, Unreachable
from proxy.gateway.timeouts import Timeouts
from tests.support.event_loop import advance
from tests.support.forwarding import Forwarder, fail_with, forwarding, request
from tests.support.sockets import ending_first, exchange, read_head, scripted, serving, unaccepting
from tests.support.waiting import HANG_TIMEOUT, until


async def test_missing_answer_is_a_timeout() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    for seconds in (0.1, 0.4):
        failures = await fail_with(script, Timeouts(response=seconds))
        assert [type(failure) for failure in failures] == [AnswerTimeout]


async def test_connection_that_closes_without_an_answer_is_a_reset() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)

    assert [type(failure) for failure in await fail_with(script)] == [Reset]


async def test_connection_that_legacy_ended_first_can_be_closed() -> None:
    loop = asyncio.get_running_loop()
    async with scripted(ending_first(b"")) as port:
        _, connection = await loop.create_connection(lambda: Connection(loop), "127.0.0.1", port)
        connection.send(b"POST / HTTP/1.1\r\n\r\n", head_only=False)
        connection.write(bytes(16 * 1024 * 1024))
        await until(lambda: connection.disconnected)
        connection.close()
    assert isinstance(connection.error, Reset)


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"])
async def test_answer_that_is_not_http_is_refused(answer: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer)
        await asyncio.sleep(1)

    assert [type(failure) for failure in await fail_with(script, Timeouts(response=0.5))] in (
        [BadAnswer],
        [AnswerTimeout],
    )


async def test_refused_connection_is_unreachable() -> None:
    async with serving(forwarder := Forwarder(free_port())) as front:
        answer = await exchange(front, request())
    assert answer.startswith(b"HTTP/1.1 502")
    assert [type(failure) for failure in forwarder.failures] == [Unreachable]


async def test_unaccepted_connection_is_a_timeout() -> None:
    with unaccepting() as port:
        async with serving(forwarder := Forwarder(port, Timeouts(connect=0.2))) as front:
            await exchange(front, request())
    assert [type(failure) for failure in forwarder.failures] == [ConnectTimeout]


async def test_answer_that_breaks_off_is_broken_off_for_the_client() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await writer.drain()

    async with forwarding(script) as (port, forwarder):
        answer = await exchange(port, request())
    assert b"4\r\nhalf\r\n" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert forwarder.failures == []


async def test_answer_that_stalls_is_broken_off() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await asyncio.sleep(3600)

    async with forwarding(script, Timeouts(response=HANG_TIMEOUT, idle=0.3)) as (port, _):
        answer = await exchange(port, request())
    assert answer.endswith(b"half")


@pytest.mark.parametrize(
    ("begun", "stops"),
    [(b"", 1), (b"", 2), (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", 1)],
    ids=["no_head", "no_head_twice", "in_the_body"],
)
async def test_stop_of_the_process_is_no_timeout_of_legacy(begun: bytes, stops: int) -> None:
    proceed, received = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(begun)
        received.set()
        await proceed.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[len(begun) :])

    async with forwarding(script, Timeouts(response=10.0, idle=10.0)) as (port, forwarder):
        answering = asyncio.create_task(exchange(port, request()))
        await received.wait()
        for _ in range(stops):
            await advance(HANG_TIMEOUT / 4)
        proceed.set()
        answer = await answering
    assert answer.endswith(b"\r\n\r\nok") is (stops == 1)
    assert [type(failure) for failure in forwarder.failures] == [AnswerTimeout] * (stops - 1)
