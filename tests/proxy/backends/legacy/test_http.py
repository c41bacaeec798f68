"""The legacy side over HTTP, on real sockets: a client's bytes, uvicorn, the upstream app, a scripted legacy."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send

from proxy.backends.legacy.http import HttpUpstream
from proxy.backends.legacy.pool import PoolLimits
from proxy.gateway.errors import AnswerTimeout, BadAnswer, ConnectTimeout, Failure, Overloaded, Reset, Unreachable
from proxy.gateway.timeouts import Timeouts
from tests.support.sockets import Script, exchange, read_head, scripted, serving

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Forwarder:
    """The upstream app, with what it raised kept for the test."""

    def __init__(self, port: int, timeouts: Timeouts | None = None, max_connections: int = 256) -> None:
        self.upstream = HttpUpstream(f"http://127.0.0.1:{port}", timeouts, PoolLimits(max_connections))
        self.failures: list[Failure] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.upstream(scope, receive, send)
        except Failure as failure:
            self.failures.append(failure)
            await send({"type": "http.response.start", "status": failure.status, "headers": []})
            await send({"type": "http.response.body", "body": failure.code.encode()})


@asynccontextmanager
async def forwarding(script: Script, timeouts: Timeouts | None = None) -> AsyncIterator[tuple[int, Forwarder]]:
    async with scripted(script) as legacy:
        forwarder = Forwarder(legacy, timeouts)
        async with serving(forwarder) as port:
            try:
                yield port, forwarder
            finally:
                forwarder.upstream.close()


class Legacy:
    """Answers every request on every connection with the same bytes, keeping what it was sent."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            self.heads.append(await read_head(reader))
            writer.write(self.answer)


def request(line: str = "GET / HTTP/1.1", *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, "Host: scribe.example", "Connection: close", *headers, "", ""]).encode() + body


@pytest.mark.parametrize(
    "target",
    ["/", "/?", "//a//b", "/a/../b", "/a%2Fb", "/caf%C3%A9?q=%20+&q=2", "/?a=1?b=2", "*", "http://other/p?q", "/a;b=c"],
)
async def test_the_target_passes_verbatim(target: str) -> None:
    legacy = Legacy()
    async with forwarding(legacy) as (port, _):
        answer = await exchange(port, request(f"GET {target} HTTP/1.1"))
    assert answer.endswith(b"ok")
    assert legacy.heads[0].split(b"\r\n")[0] == f"GET {target} HTTP/1.1".encode()


async def test_headers_pass_in_order_with_duplicates_but_no_hop_by_hop() -> None:
    legacy = Legacy(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: X-Private\r\nX-Private: 1\r\n"
        b"Keep-Alive: timeout=5\r\nX-Last: z\r\nContent-Length: 2\r\n\r\nok"
    )
    async with forwarding(legacy) as (port, _):
        raw = request(
            "GET / HTTP/1.1",
            "X-A: 1",
            "X-B: 2",
            "X-A: 3",
            "TE: trailers",
            "Connection: X-Gone",
            "X-Gone: 1",
            "Cookie: c",
        )
        answer = await exchange(port, raw)
    lines = legacy.heads[0].lower().split(b"\r\n")
    assert lines[1:6] == [b"host: scribe.example", b"x-a: 1", b"x-b: 2", b"x-a: 3", b"cookie: c"]
    assert not [line for line in lines if line.startswith((b"te:", b"x-gone", b"connection"))]
    head = answer.split(b"\r\n\r\n")[0]
    assert head.index(b"set-cookie: a=1") < head.index(b"set-cookie: b=2") < head.index(b"x-last: z")
    assert b"x-private" not in head
    assert b"keep-alive" not in head


async def test_a_body_of_known_length_passes_with_its_length() -> None:
    received: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        received.extend((head, await reader.readexactly(5)))
        writer.write(OK)

    async with forwarding(script) as (port, _):
        answer = await exchange(port, request("POST / HTTP/1.1", "Content-Length: 5", body=b"hello"))
    assert answer.endswith(b"ok")
    assert b"content-length: 5" in received[0]
    assert received[1] == b"hello"


async def test_a_chunked_body_passes_chunked() -> None:
    received = bytearray()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not received.endswith(b"0\r\n\r\n"):
            received.extend(await reader.read(1000))
        writer.write(OK)

    async with forwarding(script) as (port, _):
        body = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        answer = await exchange(port, request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=body))
    assert answer.endswith(b"ok")
    head, _, rest = bytes(received).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert b"content-length" not in head
    assert rest in (b"5\r\nabcde\r\n0\r\n\r\n", body)


async def test_a_compressed_answer_passes_untouched() -> None:
    packed = gzip.compress(b"x" * 1000)
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
    async with forwarding(Legacy(answer)) as (port, _):
        received = await exchange(port, request())
    assert received.endswith(packed)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_answers_without_a_body_keep_the_connection_usable(status: bytes) -> None:
    legacy = Legacy(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nETag: x\r\n\r\n")
    async with forwarding(legacy) as (port, _):
        for _ in range(3):
            answer = await exchange(port, request())
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert b"\r\ncontent-length: 0\r\n" in answer
            assert answer.endswith(b"\r\n\r\n")
    assert legacy.connections == 1


@pytest.mark.parametrize(
    ("answer", "head", "body"),
    [
        (b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", b"content-length: 5", b""),
        (b"HTTP/1.1 426 X\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok", b"upgrade: h2c", b"ok"),
        (b"HTTP/1.1 600 X\r\nContent-Length: 2\r\n\r\nok", b"http/1.1 600", b"ok"),
        (b"HTTP/1.1 999 X\r\nContent-Length: 2\r\n\r\nok", b"http/1.1 999", b"ok"),
        (b"HTTP/1.1 200 X\r\nX: caf\xe9\r\nContent-Length: 2\r\n\r\nok", b"x: caf\xe9", b"ok"),
    ],
)
async def test_odd_answers_pass_through_the_listener(answer: bytes, head: bytes, body: bytes) -> None:
    async with forwarding(Legacy(answer)) as (port, forwarder):
        for _ in range(2):
            received, _, rest = (await exchange(port, request())).partition(b"\r\n\r\n")
            assert head in received.lower()
            assert rest == body
    assert forwarder.failures == []


async def test_head_has_the_headers_of_the_body_it_lacks() -> None:
    legacy = Legacy(b"HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n")
    async with forwarding(legacy) as (port, _):
        for _ in range(2):
            answer = await exchange(port, request("HEAD / HTTP/1.1"))
            assert b"content-length: 31" in answer
            assert answer.endswith(b"\r\n\r\n")
    assert legacy.connections == 1


async def test_informational_answers_are_not_taken_for_the_answer() -> None:
    legacy = Legacy(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK)
    async with forwarding(legacy) as (port, _):
        answer = await exchange(port, request())
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"link" not in answer


async def test_100_continue_is_the_legacys_to_say() -> None:
    said = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await said.wait()
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await reader.readexactly(2) == b"hi"
        writer.write(OK)

    async with forwarding(script) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST / HTTP/1.1", "Expect: 100-continue", "Content-Length: 2"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        said.set()
        assert await read_head(reader) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert (await reader.read()).endswith(b"ok")
        writer.close()


async def test_a_refused_expectation_spares_the_body() -> None:
    legacy = Legacy(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
    async with forwarding(legacy) as (port, _):
        answer = await exchange(port, request("POST / HTTP/1.1", "Expect: 100-continue", "Content-Length: 2"))
    assert answer.startswith(b"HTTP/1.1 417")


async def test_an_answer_may_come_before_the_request_is_finished() -> None:
    legacy = Legacy(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig")
    async with forwarding(legacy) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST / HTTP/1.1", "Content-Length: 1000000", body=b"x" * 1000))
        head = await asyncio.wait_for(read_head(reader), 2)
        assert head.startswith(b"HTTP/1.1 413")
        writer.close()


async def test_a_first_chunk_arrives_before_the_second_is_sent() -> None:
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
        assert await asyncio.wait_for(reader.readexactly(10), 2) == b"5\r\nfirst\r\n"
        go_on.set()
        assert await reader.read() == b"6\r\nsecond\r\n0\r\n\r\n"
        writer.close()


async def test_a_slow_client_slows_the_legacy() -> None:
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


async def test_a_slow_legacy_slows_the_client() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await asyncio.sleep(30)

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


async def test_a_client_that_leaves_cancels_the_request() -> None:
    closed = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        assert await reader.read() == b""
        closed.set()

    async with forwarding(script) as (port, forwarder):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request())
        await asyncio.sleep(0.05)
        writer.close()
        await asyncio.wait_for(closed.wait(), 10)
        assert forwarder.failures == []


async def test_a_client_that_leaves_while_sending_cancels_the_request() -> None:
    closed = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await reader.read()
        closed.set()

    async with forwarding(script) as (port, forwarder):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST / HTTP/1.1", "Content-Length: 100", body=b"x"))
        await asyncio.sleep(0.05)
        writer.close()
        await asyncio.wait_for(closed.wait(), 10)
        assert forwarder.failures == []


async def test_connections_are_used_again() -> None:
    legacy = Legacy()
    async with forwarding(legacy) as (port, _):
        for _ in range(5):
            await exchange(port, request())
    assert legacy.connections == 1


async def test_a_closing_answer_is_the_connections_last() -> None:
    legacy = Legacy(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    async with forwarding(legacy) as (port, _):
        for _ in range(2):
            assert (await exchange(port, request())).endswith(b"ok")
    assert legacy.connections == 2


async def test_an_answer_may_end_with_its_connection() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        await writer.drain()

    async with forwarding(script) as (port, _):
        answer = await exchange(port, request())
    assert answer.endswith(b"all of it\r\n0\r\n\r\n")


class Forgetful:
    """Answers the first request of its first connection, then closes that connection at the next request."""

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


async def test_a_safe_request_survives_a_pooled_connection_that_closes() -> None:
    legacy = Forgetful()
    async with forwarding(legacy) as (port, forwarder):
        assert (await exchange(port, request())).endswith(b"ok")
        assert (await exchange(port, request())).endswith(b"ok")
        assert forwarder.failures == []
    assert legacy.connections == 2


async def test_an_unsafe_request_is_never_sent_twice() -> None:
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


async def test_the_legacys_own_keep_alive_limit_is_respected() -> None:
    legacy = Legacy(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1, max=5\r\nContent-Length: 2\r\n\r\nok")
    async with forwarding(legacy) as (port, _):
        await exchange(port, request())
        await exchange(port, request())
    assert legacy.connections == 2


async def fail_with(script: Script, timeouts: Timeouts | None = None) -> list[Failure]:
    async with forwarding(script, timeouts) as (port, forwarder):
        await exchange(port, request())
        return forwarder.failures


async def test_an_answer_that_never_comes_is_a_time_out() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    for seconds in (0.1, 0.4):
        failures = await fail_with(script, Timeouts(response=seconds))
        assert [type(failure) for failure in failures] == [AnswerTimeout]


async def test_a_connection_that_closes_without_an_answer_is_a_reset() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)

    assert [type(failure) for failure in await fail_with(script)] == [Reset]


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"])
async def test_an_answer_that_is_not_http_is_refused(answer: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer)
        await asyncio.sleep(1)

    assert [type(failure) for failure in await fail_with(script, Timeouts(response=0.5))] in (
        [BadAnswer],
        [AnswerTimeout],
    )


async def test_nobody_there_is_unreachable() -> None:
    async with scripted(Legacy()) as port:
        pass
    async with serving(forwarder := Forwarder(port)) as front:
        answer = await exchange(front, request())
    assert answer.startswith(b"HTTP/1.1 502")
    assert [type(failure) for failure in forwarder.failures] == [Unreachable]


async def test_a_connection_that_is_never_accepted_is_a_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0, backlog=1)
    port = server.sockets[0].getsockname()[1]
    server.close()  # frees the port; a listening socket with a full queue takes its place
    await server.wait_closed()
    import socket

    full = socket.socket()
    full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    full.bind(("127.0.0.1", port))
    full.listen(0)
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
    async with serving(forwarder := Forwarder(port, Timeouts(connect=0.2))) as front:
        await exchange(front, request())
    for each in (*fillers, full):
        each.close()
    assert [type(failure) for failure in forwarder.failures] == [ConnectTimeout]


async def test_an_answer_that_breaks_off_is_broken_off_for_the_client() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await writer.drain()

    async with forwarding(script) as (port, forwarder):
        answer = await exchange(port, request())
    assert b"4\r\nhalf\r\n" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert forwarder.failures == []


async def test_an_answer_that_stalls_is_broken_off() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await asyncio.sleep(30)

    async with forwarding(script, Timeouts(response=0.3, idle=0.3)) as (port, _):
        answer = await exchange(port, request(), seconds=2)
    assert answer.endswith(b"half")


async def test_what_comes_unasked_closes_the_connection() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(OK)
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
        await reader.read()

    async with forwarding(script) as (port, forwarder):
        for _ in range(2):
            assert (await exchange(port, request())).endswith(b"ok")
            await asyncio.sleep(0.15)
        assert forwarder.failures == []


async def test_past_the_limit_of_connections_requests_wait_their_turn() -> None:
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


async def test_wait_for_a_connection_ends_and_keeps_the_slot() -> None:
    go_on = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            await go_on.wait()
            writer.write(OK)

    async with scripted(script) as legacy:
        forwarder = Forwarder(legacy, Timeouts(connect=0.1), max_connections=1)
        async with serving(forwarder) as port:
            first = asyncio.create_task(exchange(port, request()))
            await asyncio.sleep(0.05)
            assert (await exchange(port, request())).startswith(b"HTTP/1.1 503")
            assert [type(failure) for failure in forwarder.failures] == [Overloaded]
            go_on.set()
            assert (await first).endswith(b"ok")
            assert (await exchange(port, request())).endswith(b"ok")
            forwarder.upstream.close()


async def test_a_place_is_free_again_after_a_connection_that_failed() -> None:
    async with scripted(Legacy()) as legacy:
        pass
    async with serving(forwarder := Forwarder(legacy, max_connections=1)) as port:
        for _ in range(3):
            assert (await exchange(port, request())).startswith(b"HTTP/1.1 502")
    assert [type(failure) for failure in forwarder.failures] == [Unreachable] * 3


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
        await asyncio.wait_for(forwarded.wait(), 10)
        writer.close()
        await asyncio.wait_for(closed.wait(), 2)
        assert forwarder.failures == []


async def test_legacy_that_ignores_expect_still_gets_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.backends.legacy.http.CONTINUE_AFTER", 0.1)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        assert await reader.readexactly(2) == b"hi"
        writer.write(OK)

    async with forwarding(script) as (port, _):
        raw = request("POST / HTTP/1.1", "Expect: 100-continue", "Content-Length: 2", body=b"hi")
        assert (await exchange(port, raw)).endswith(b"ok")


async def test_a_large_upload_arrives_whole() -> None:
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
