"""Bodies that do not come, or stop: few connections to legacy wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Sized

import pytest
from starlette.types import Message

from proxy.backends.legacy.unfinished_bodies import BUFFER, UnfinishedBodies
from proxy.gateway.errors import Overloaded
from proxy.gateway.timeouts import Timeouts
from tests.support.forwarding import Legacy, forwarding, request
from tests.support.sockets import exchange, read_head
from tests.support.waiting import HANG_TIMEOUT

NEVER = Timeouts(body_delay=10 * HANG_TIMEOUT, continue_after=0.01)
AT_ONCE = Timeouts(body_delay=0.01)
REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(HANG_TIMEOUT):
        return await reader.readuntil(b"\r\n\r\n")


async def test_unstarted_body_uses_no_connection() -> None:
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


async def test_delayed_head_lets_legacy_refuse_it() -> None:
    async with forwarding(Legacy(REFUSED), AT_ONCE) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST / HTTP/1.1", "Content-Length: 5"))
        assert (await answer_of(reader)).startswith(b"HTTP/1.1 401")
        writer.close()


class Upload:
    """A request whose client sends `parts`; `sent` while legacy has it."""

    def __init__(self, slots: UnfinishedBodies, client: str | None, parts: Sequence[bytes] = (), timeout: float = 60):
        self._parts: asyncio.Queue[Message] = asyncio.Queue()
        for part in parts:
            self.send(part)
        self._slots, self._client, self._timeout = slots, client, timeout
        self.sent = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    def send(self, part: bytes, *, last: bool = False) -> None:
        self._parts.put_nowait({"type": "http.request", "body": part, "more_body": not last})

    async def finish(self) -> bytes:
        self.send(b"$", last=True)
        return await asyncio.wait_for(self.task, HANG_TIMEOUT)

    async def _run(self) -> bytes:
        body, more = b"", True
        async with self._slots.body_of(self._parts.get, self._client, delay=0.001, timeout=self._timeout) as receive:
            self.sent.set()
            while more:
                message = await receive()
                body, more = body + message["body"], message["more_body"]
        return body


async def all_sent(uploads: Sequence[Upload]) -> None:
    async with asyncio.timeout(HANG_TIMEOUT):
        for upload in uploads:
            await upload.sent.wait()


async def test_unfinished_bodies_of_one_client_leave_slots_for_others() -> None:
    slots = UnfinishedBodies(5, 2)
    uploads = [Upload(slots, client, [b"a"]) for client in ("greedy", "greedy", "other", None)]
    await all_sent(uploads)
    late = [Upload(slots, "greedy", [b"b", b"c"]), Upload(slots, "greedy", [b"d"])]
    whole = Upload(slots, "greedy")
    assert await whole.finish() == b"$"
    assert (slots.used, late[0].sent.is_set()) == (4, False)
    assert await uploads[0].finish() == b"a$"
    await all_sent(late[:1])
    assert (slots.used, late[1].sent.is_set()) == (4, False)
    assert await late[1].finish() == b"d$"  # whole without a slot
    assert [await upload.finish() for upload in (*uploads[1:], late[0])] == [b"a$", b"a$", b"a$", b"bc$"]
    assert slots.used == 0


async def test_nothing_is_held_for_clients_without_requests() -> None:
    slots = UnfinishedBodies(3, 1)
    uploads = [Upload(slots, f"client {number}", [b"a"]) for number in range(9)]
    assert [await upload.finish() for upload in uploads] == [b"a$"] * 9
    assert [held for held in vars(slots).values() if isinstance(held, Sized) and len(held)] == []


@pytest.mark.parametrize("at_once", [True, False])
async def test_cancelled_request_releases_its_slot(at_once: bool) -> None:
    slots = UnfinishedBodies(1, 1)
    first, second, third = (Upload(slots, client, [b"a"]) for client in ("1", "2", "3"))
    await all_sent([first])
    if at_once:  # in the iteration in which it gets the slot
        first.task.add_done_callback(lambda _: second.task.cancel())
    first.task.cancel()
    await asyncio.wait([first.task])
    second.task.cancel()
    await asyncio.wait([second.task])
    await all_sent([third])
    assert await third.finish() == b"a$"
    assert slots.used == 0


@pytest.mark.parametrize("size", [BUFFER + 1, 10 * BUFFER])
async def test_full_buffer_without_a_slot_is_refused_in_time(size: int) -> None:
    slots = UnfinishedBodies(1, 1)
    first = Upload(slots, "1", [b"a"])
    await all_sent([first])
    second = Upload(slots, "2", [b"x" * BUFFER, b"x" * (size - BUFFER), b"y"], timeout=0.01)
    with pytest.raises(Overloaded, match="max_connections"):
        await asyncio.wait_for(second.task, HANG_TIMEOUT)
    assert await first.finish() == b"a$"
    assert slots.used == 0


class Reading:
    """A legacy that answers each request after its body; `open` is the number of connections."""

    open = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            head = await read_head(reader)
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        finally:
            self.open -= 1


@pytest.mark.parametrize("expectation", [(), ("Expect: 100-continue",)])
async def test_unfinished_bodies_use_half_of_the_connections(expectation: Sequence[str]) -> None:
    legacy = Reading()
    async with forwarding(legacy, NEVER, max_connections=8) as (port, forwarder):
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        for _, writer in clients:
            writer.write(request("POST / HTTP/1.1", *expectation, "Content-Length: 5", body=b"h"))
        async with asyncio.timeout(HANG_TIMEOUT):
            while legacy.open < 4:
                await asyncio.sleep(0.01)
        for _ in range(5):
            answer = await exchange(port, request("POST / HTTP/1.1", "Content-Length: 2", body=b"ok"))
            assert answer.startswith(b"HTTP/1.1 204")
        assert legacy.open == 4
        for _, writer in clients:
            writer.write(b"ello")
        assert [(await answer_of(reader))[:12] for reader, _ in clients] == 20 * [b"HTTP/1.1 204"]
        for _, writer in clients:
            writer.close()
        assert forwarder.failures == []


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


async def test_client_gone_before_its_body_never_reaches_legacy() -> None:
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
