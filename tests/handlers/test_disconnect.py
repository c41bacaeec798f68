"""Reads whose client disconnects are cancelled; writes are completed."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handlers.disconnect import is_read_without_body, run_cancellable


class Client:
    """A client that sends a request and disconnects when `gone` is set."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.sent: list[Message] = []
        self._begun = False

    async def receive(self) -> Message:
        if not self._begun:
            self._begun = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)


def scope(method: str = "GET", *headers: bytes) -> Scope:
    return {"type": "http", "method": method, "headers": [(name, b"1") for name in headers]}


async def run(app: ASGIApp, client: Client) -> None:
    await run_cancellable(app, scope(), client.receive, client.send, watch_delay=0.01)


async def test_read_is_cancelled_when_its_client_disconnects() -> None:
    client, cancelled = Client(), asyncio.Event()

    async def query(_: Scope, __: Receive, ___: Send) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    running = asyncio.create_task(run(query, client))
    await asyncio.sleep(0.05)
    assert not running.done()
    client.gone.set()
    await asyncio.wait_for(running, 10)
    assert cancelled.is_set()
    assert client.sent == []


async def test_slow_read_is_answered_and_its_body_ends_once() -> None:
    client = Client()

    async def query(_: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.05)
        await send(await receive())
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        waiting.cancel()

    await run(query, client)
    assert client.sent == [{"type": "http.request", "body": b"", "more_body": False}]


async def test_app_sees_the_disconnect_that_it_waits_for() -> None:
    client = Client()
    client.gone.set()

    async def wait(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(await receive())

    await run(wait, client)
    assert client.sent == [{"type": "http.disconnect"}]


async def test_timeout_of_the_app_itself_is_raised() -> None:
    async def fail(_: Scope, __: Receive, ___: Send) -> None:
        raise TimeoutError("own")

    with pytest.raises(TimeoutError, match="own"):
        await run(fail, Client())


@pytest.mark.parametrize(
    ("request_scope", "cancellable"),
    [
        (scope("GET"), True),
        (scope("HEAD", b"host"), True),
        (scope("POST"), False),
        (scope("DELETE"), False),
        (scope("GET", b"content-length"), False),
        (scope("GET", b"transfer-encoding"), False),
        ({"type": "websocket"}, False),
    ],
)
def test_only_reads_without_a_body_are_cancellable(request_scope: Scope, cancellable: bool) -> None:
    assert is_read_without_body(request_scope) is cancellable
