"""Bulkheads and stalled clients, on real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send

from proxy.config.loading import parse
from proxy.gateway.admission import Bulkhead, Slot
from proxy.gateway.client_address import TrustedProxies, client_key
from proxy.gateway.errors import Overloaded
from proxy.gateway.gateway import Gateway
from proxy.gateway.request_record import RequestRecord
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.server.timeouts import STATE_KEY, ClientTimeouts, ListenerTimeouts
from tests.support.event_loop import advance
from tests.support.sockets import exchange, serving
from tests.support.waiting import HANG_TIMEOUT, until
from tests.support.websocket_server import with_state

CONFIG = """
legacy: {url: http://127.0.0.1:4500}
native: tests.nowhere:app
routes:
  - {name: new, match: "* /new", native: 100%}
  - {name: stream, match: WS /stream, native: 100%}
limits: {in_flight: 4, websockets: 2, per_client: 4, websockets_per_client: 2}
"""
UPLOAD = b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
HANDSHAKE = (
    b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Backend:
    """Reads the body, waits while it is held, and answers `size` bytes; `begun` is the number of answers."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.free.set()
        self.size = 2
        self.begun = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            return
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.disconnect":
            return
        await self.free.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body = b"x" * self.size
        self.begun += 1
        await send({"type": "http.response.body", "body": body})


class Running:
    """A gateway between two backends. `clients` are connections that the test leaves open."""

    def __init__(self, config: str) -> None:
        self.legacy, self.native = Backend(), Backend()
        self.records: list[RequestRecord] = []
        snapshot = RoutingSnapshot.of(parse(config, {}, "test.yaml"), self.legacy, self.native)
        self.gateway = Gateway(snapshot, [self.records.append])
        self.port = 0
        self.clients: list[Stream] = []

    async def open(self, request: bytes, address: str = "127.0.0.1") -> Stream:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        client.bind((address, 0))
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", self.port))
        stream = await asyncio.open_connection(sock=client, limit=1024)
        stream[1].write(request)
        self.clients.append(stream)
        return stream

    async def open_all(self, number: int, request: bytes) -> None:
        """Open connections with a request each, in the order in which the gateway receives them."""
        before = self.gateway.in_flight
        for opened in range(1, number + 1):
            await self.open(request)
            await until(lambda opened=opened: self.gateway.in_flight == before + opened)  # type: ignore[misc]

    async def status(self, path: str, address: str = "127.0.0.1") -> int:
        reader, _ = await self.open(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode(), address)
        return int((await asyncio.wait_for(reader.readline(), HANG_TIMEOUT)).split()[1])

    @property
    def causes(self) -> list[str | None]:
        return [record.cause for record in self.records if record.failure == "gateway_overloaded"]


@asynccontextmanager
async def running(config: str = CONFIG, timeouts: ClientTimeouts | None = None) -> AsyncIterator[Running]:
    harness = Running(config)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await harness.gateway(scope, receive, send)

    async with serving(with_state(app, {STATE_KEY: ListenerTimeouts(timeouts)}), lifespan="on") as harness.port:
        try:
            yield harness
        finally:
            harness.legacy.free.set()
            for _, writer in harness.clients:
                writer.transport.abort()


class StalledClient:
    """A client's connection in a bulkhead, which records its end."""

    evicted_for: str | None = None
    is_closing = False

    def __init__(self, stalled_since: float) -> None:
        self.stalled_since: float | None = stalled_since

    def retain_body(self, received: int = 0) -> None: ...
    def release_body(self) -> None: ...

    def evict(self, limit: str) -> None:
        self.evicted_for = limit


async def test_longest_stalled_clients_are_replaced_first() -> None:
    bulkhead = Bulkhead("requests", limit=4, per_client=4)
    now = asyncio.get_running_loop().time()
    ages = [60, 90, 30, 80]
    clients = [StalledClient(now - age) for age in ages]
    for number, client in enumerate(clients):
        bulkhead.add(Slot(bulkhead, f"{number}", client))
    bulkhead.add(Slot(bulkhead, "new"))
    assert [client.evicted_for for client in clients] == [None, "requests", None, None]
    clients[3].stalled_since = None  # it has received a part of its body since the search
    bulkhead.add(Slot(bulkhead, "newer"))
    assert [client.evicted_for for client in clients] == ["requests", "requests", None, None]
    assert bulkhead.used == 4


async def test_client_at_its_limit_ends_its_own_requests_only() -> None:
    bulkhead = Bulkhead("requests", limit=9, per_client=1)
    now = asyncio.get_running_loop().time()
    clients = [StalledClient(now - age) for age in (90, 60)]
    for number, client in enumerate(clients):
        bulkhead.add(Slot(bulkhead, f"{number}", client))
    bulkhead.add(Slot(bulkhead, "1"))
    assert [client.evicted_for for client in clients] == [None, "per_client"]
    with pytest.raises(Overloaded):
        bulkhead.add(Slot(bulkhead, "1"))


async def test_hung_legacy_occupies_no_native_slot() -> None:
    async with running() as harness:
        harness.legacy.free.clear()
        await harness.open_all(4, b"GET /old HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await harness.status("/old", "127.0.0.2") == 503
        assert await harness.status("/new") == 200
    assert harness.causes == ["legacy_requests"]


async def test_idle_websockets_occupy_no_request_slot() -> None:
    async with running() as harness:
        await harness.open_all(2, HANDSHAKE)
        reader, _ = await harness.open(HANDSHAKE, "127.0.0.2")
        assert (await reader.readline()).split()[1] == b"503"
        assert await harness.status("/new") == 200
    assert harness.causes == ["native_websockets"]


@pytest.mark.parametrize("path", [b"old", b"new"])
async def test_one_client_leaves_slots_for_others(path: bytes) -> None:
    async with running(CONFIG.replace("per_client: 4", "per_client: 2")) as harness:
        await harness.open_all(2, UPLOAD % path)
        assert await harness.status(f"/{path.decode()}") == 503
        assert await harness.status(f"/{path.decode()}", "127.0.0.2") == 200
    assert harness.causes == ["per_client"]


@pytest.mark.parametrize("body", [b"", b"Content-Length: 3\r\n\r\nabc"])
async def test_pipelined_refusals_are_answered_in_order(body: bytes) -> None:
    async with running() as harness, serving(harness.gateway) as harness.port:
        harness.legacy.free.clear()
        await harness.open_all(4, b"GET /old HTTP/1.1\r\nHost: a\r\n\r\n")
        request = b"POST /old HTTP/1.1\r\nHost: a\r\n%b" % (body or b"\r\n")
        answers = await exchange(
            harness.port, 300 * request + b"GET /new HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n"
        )
    assert answers.count(b"HTTP/1.1 503") == answers.count(b"\r\nretry-after: 1\r\n") == 300
    assert answers.index(b"HTTP/1.1 200") > answers.rindex(b'"error":"gateway_overloaded"')
    assert harness.causes == 300 * ["per_client"]
    assert {record.status for record in harness.records if record.failure} == {503}


async def test_full_bulkhead_ends_the_longest_stalled_upload() -> None:
    async with running() as harness:
        await harness.open_all(4, UPLOAD % b"new")
        await asyncio.sleep(1.1)
        assert await harness.status("/new", "127.0.0.2") == 200
        reader, _ = harness.clients[0]
        assert (await reader.readline()).split()[1] == b"503"
    assert harness.causes == ["native_requests"]
    assert [record.status for record in harness.records if record.failure] == [503]


async def test_full_bulkhead_ends_a_client_that_does_not_read() -> None:
    async with running() as harness:
        harness.native.size = 32 << 20
        await harness.open_all(4, b"GET /new HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: harness.native.begun == 4)
        await asyncio.sleep(1.3)
        harness.native.size = 2
        assert await harness.status("/new", "127.0.0.2") == 200
    assert harness.causes == ["native_requests"]


async def test_slots_are_free_after_answers_and_departures() -> None:
    async with running() as harness:
        await harness.open_all(4, UPLOAD % b"new")
        for _, writer in harness.clients:
            writer.transport.abort()
        async with asyncio.timeout(HANG_TIMEOUT):
            while harness.gateway.in_flight:
                await asyncio.sleep(0.01)
        assert [await harness.status("/new") for _ in range(6)] == [200] * 6


async def test_body_that_stalls_is_refused_with_408() -> None:
    async with running(timeouts=ClientTimeouts(idle=0.3)) as harness:
        for path in (b"new", b"old"):
            answer = await exchange(harness.port, UPLOAD % path)
            assert answer.startswith(b"HTTP/1.1 408")


async def test_slow_body_at_the_minimum_rate_is_served() -> None:
    async with running(timeouts=ClientTimeouts(idle=20, min_rate=20)) as harness:
        reader, writer = await harness.open(UPLOAD % b"new")
        for _ in range(25):
            writer.write(b"x" * 40)
            await advance(1.0)
        assert (await reader.readline()).split()[1] == b"200"


async def test_body_below_the_minimum_rate_is_refused_with_408() -> None:
    async with running(timeouts=ClientTimeouts(idle=0.3, min_rate=100_000)) as harness:
        reader, writer = await harness.open(UPLOAD % b"new")
        for _ in range(20):
            writer.write(b"x")
            await asyncio.sleep(0.05)
        assert (await reader.readline()).split()[1] == b"408"


async def test_client_that_does_not_read_is_closed() -> None:
    async with running(timeouts=ClientTimeouts(idle=0.5)) as harness:
        harness.native.size = 32 << 20
        await harness.open_all(1, b"GET /new HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(HANG_TIMEOUT):
            while harness.gateway.in_flight:
                await asyncio.sleep(0.01)
    assert [record.status for record in harness.records] == [200]


@pytest.mark.parametrize(
    ("client", "key"),
    [
        (None, None),
        (("192.0.2.1", 1), "192.0.2.1"),
        (("::ffff:192.0.2.1", 1), "192.0.2.1"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::"),
        (("2001:db8:1:2:ffff::1", 1), "2001:db8:1:2::"),
        (("10.0.0.7", 0), None),
    ],
)
def test_client_key_is_the_address_or_its_64(client: tuple[str, int] | None, key: str | None) -> None:
    assert client_key(client, TrustedProxies(["10.0.0.0/8"])) == key


async def test_client_limit_ends_that_clients_stalled_upload() -> None:
    async with running(CONFIG.replace("per_client: 4", "per_client: 2")) as harness:
        await harness.open_all(2, UPLOAD % b"new")
        await asyncio.sleep(1.1)
        assert await harness.status("/new") == 200
        reader, _ = harness.clients[0]
        assert (await reader.readline()).split()[1] == b"503"
    assert harness.causes == ["per_client"]
