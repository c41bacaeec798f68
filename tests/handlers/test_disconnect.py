"""Reads whose client disconnects are cancelled; writes are completed."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handlers.disconnect import (
    CancellableReads,
    ClientDisconnectedError,
    cancel_on_disconnect,
    is_read_without_body,
    wait_for_disconnect,
)
from tests.support.event_loop import DelayLoop, advance
from tests.support.waiting import HANG_TIMEOUT


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
    await CancellableReads(0.01).run(app, scope(), client.receive, client.send)


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
    await asyncio.wait_for(running, HANG_TIMEOUT)
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


async def test_app_receives_the_awaited_disconnect() -> None:
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


async def test_cancellation_by_others_is_raised() -> None:
    client = Client()
    running = asyncio.create_task(run(hang, client))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await run(hang, client)


async def test_cancellation_affects_the_disconnected_read_only() -> None:
    reads, clients = CancellableReads(0.01), [Client() for _ in range(3)]
    tasks = [asyncio.create_task(reads.run(hang, scope(), each.receive, each.send)) for each in clients]
    clients[1].gone.set()
    done, waiting = await asyncio.wait(tasks, timeout=HANG_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
    assert done == {tasks[1]}
    assert not tasks[1].cancelled()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_cancellation_by_others_during_a_disconnect_is_raised() -> None:
    client, cancelled = Client(), asyncio.Event()
    client.gone.set()

    async def clean_up(_: Scope, __: Receive, ___: Send) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()
            await asyncio.sleep(60)

    running = asyncio.create_task(run(clean_up, client))
    await cancelled.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_ignored_cancellation_is_withdrawn() -> None:
    client = Client()
    client.gone.set()

    async def ignore(_: Scope, __: Receive, ___: Send) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    await run(ignore, client)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def hang(_: Scope, __: Receive, ___: Send) -> None:
    await asyncio.sleep(60)


def test_no_timer_runs_without_reads() -> None:
    async def answer(_: Scope, __: Receive, send: Send) -> None:
        await send({})

    async def idle() -> None:
        await run(answer, Client())
        for _ in range(5):
            await advance(1)

    loop = DelayLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(idle())
    assert len(loop.delays) == 1


async def test_work_of_a_disconnected_client_has_ended() -> None:
    client, has_ended = Client(), False
    client.gone.set()

    async def work() -> None:
        nonlocal has_ended
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            has_ended = True

    with pytest.raises(ClientDisconnectedError):
        await cancel_on_disconnect(wait_for_disconnect(client.receive), work())
    assert has_ended


async def test_failure_of_the_work_itself_is_raised() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise TimeoutError("own")

    others = asyncio.all_tasks()
    with pytest.raises(TimeoutError, match="own"):
        await cancel_on_disconnect(wait_for_disconnect(Client().receive), fail())
    assert asyncio.all_tasks() == others


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
