"""A client that still sends a body after its answer reads the answer before its connection is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Receive, Scope, Send

from tests.support.sockets import serving

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n"
STEP = 2.0


class AdvancedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock can be moved forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without reading the body."""
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"no"})


class Uploader:
    """A client that continues to send after its answer, on a loop whose clock the test moves."""

    def __init__(self, loop: AdvancedLoop, writer: asyncio.StreamWriter) -> None:
        self._loop, self._writer = loop, writer

    @property
    def is_cut_off(self) -> bool:
        return self._writer.transport.is_closing()

    async def send_for(self, seconds: float) -> None:
        """Send a piece of the body each `STEP` of the loop's clock."""
        for _ in range(round(seconds / STEP)):
            self._loop.ahead += STEP
            await self.send()

    async def send(self) -> None:
        self._writer.write(b"x" * 1000)
        await asyncio.sleep(0.01)

    async def fall_silent(self, seconds: float) -> None:
        self._loop.ahead += seconds
        await asyncio.sleep(0.01)

    async def until_cut_off(self) -> None:
        while not self.is_cut_off:
            await self.send()


async def outlasts_the_answer(client: Uploader) -> None:
    await client.send_for(24)
    assert not client.is_cut_off


async def silent_is_cut_off(client: Uploader) -> None:
    await client.send_for(4)
    await client.fall_silent(5.5)
    await client.until_cut_off()


async def endless_is_cut_off(client: Uploader) -> None:
    await client.send_for(32)
    await client.until_cut_off()


async def upload(follow: Callable[[Uploader], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, AdvancedLoop)
    async with serving(refuse) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"x" * 1000)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 413")
        assert answer.endswith(b"no")
        await follow(Uploader(loop, writer))
        writer.transport.abort()


@pytest.mark.parametrize("follow", [outlasts_the_answer, silent_is_cut_off, endless_is_cut_off])
def test_client_still_sending_is_waited_for(follow: Callable[[Uploader], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=AdvancedLoop) as runner:
        runner.run(upload(follow))
