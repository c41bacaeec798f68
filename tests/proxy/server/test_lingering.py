"""A client that still sends a body after its answer reads the answer before its connection is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Receive, Scope, Send

from proxy.server.linger import LINGER_AT_EXIT, LINGER_SILENCE
from tests.support.event_loop import advance
from tests.support.http_app import stoppable
from tests.support.sockets import serving

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n"
STEP = 2.0


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without reading the body."""
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"no"})


class Uploader:
    """A client that continues to send after its answer."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    @property
    def is_cut_off(self) -> bool:
        return self._writer.transport.is_closing()

    async def send_for(self, seconds: float) -> None:
        """Send a piece of the body each `STEP` of the loop's clock."""
        for _ in range(round(seconds / STEP)):
            await advance(STEP)
            self._writer.write(b"x" * 1000)

    async def until_cut_off(self) -> None:
        while not self.is_cut_off:
            await advance(0.01)
            self._writer.write(b"x" * 1000)


async def outlasts_the_answer(client: Uploader) -> None:
    await client.send_for(24)
    assert not client.is_cut_off


async def silent_is_cut_off(client: Uploader) -> None:
    await client.send_for(4)
    await advance(5.5)
    await client.until_cut_off()


async def endless_is_cut_off(client: Uploader) -> None:
    await client.send_for(32)
    await client.until_cut_off()


async def test_shutdown_ends_the_wait_for_a_silent_client() -> None:
    async with stoppable(refuse) as (port, server, stopping):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD)
        assert (await reader.read()).endswith(b"no")
        server.should_exit = True
        waited = 0.0
        while not stopping.done():
            await advance(0.1)
            waited += 0.1
        assert waited < LINGER_SILENCE - LINGER_AT_EXIT
        writer.transport.abort()


@pytest.mark.parametrize("follow", [outlasts_the_answer, silent_is_cut_off, endless_is_cut_off])
async def test_client_still_sending_is_waited_for(follow: Callable[[Uploader], Awaitable[None]]) -> None:
    async with serving(refuse) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"x" * 1000)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 413")
        assert answer.endswith(b"no")
        await follow(Uploader(writer))
        writer.transport.abort()
