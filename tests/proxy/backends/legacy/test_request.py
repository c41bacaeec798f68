"""One well-framed request reaches the legacy, whatever the server delivers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httptools
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message, Scope

from proxy.backends.legacy.endpoint import Endpoint
from proxy.backends.legacy.http import HttpUpstream
from proxy.backends.legacy.request import EncodedRequest, HeaderEncoder, RequestBody, body_framing
from proxy.gateway.errors import BodyMismatch, Failure
from proxy.gateway.request_context import CONTEXT, RequestContext
from proxy.gateway.timeouts import Timeouts
from proxy.types import RawHeaders
from tests.support.profile import examples
from tests.support.sockets import scripted
from tests.support.unhurried import LONG_TIMEOUTS
from tests.support.waiting import HANG_TIMEOUT

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ENDPOINT = Endpoint.parse("http://legacy:81")


class RequestParser:
    """Reads a connection's bytes as Node does (llhttp): the targets and bodies of whole requests."""

    def __init__(self) -> None:
        self.requests: list[tuple[bytes, bytes]] = []
        self._parser = httptools.HttpRequestParser(self)
        self._target = self._body = b""
        self.raw = b""

    def feed(self, data: bytes) -> int:
        """Return how many requests ended in `data`. Raises httptools.HttpParserError."""
        before = len(self.requests)
        self.raw += data
        self._parser.feed_data(data)
        return len(self.requests) - before

    def on_message_begin(self) -> None:
        self._target = self._body = b""

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.requests.append((self._target, self._body))


class ParsingLegacy:
    """Answers each whole request of each connection."""

    def __init__(self) -> None:
        self.connections: list[RequestParser] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = RequestParser()
        self.connections.append(parser)
        while data := await reader.read(1 << 16):
            writer.write(OK * parser.feed(data))


@asynccontextmanager
async def forwarding() -> AsyncIterator[tuple[HttpUpstream, ParsingLegacy]]:
    legacy = ParsingLegacy()
    async with scripted(legacy) as port:
        upstream = HttpUpstream(f"http://127.0.0.1:{port}", LONG_TIMEOUTS)
        try:
            yield upstream, legacy
        finally:
            upstream.close()


def part(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def call(upstream: HttpUpstream, target: bytes, headers: RawHeaders, parts: Sequence[Message]) -> int:
    """Return the status; a failure's too. After `parts`, the client stays and says nothing."""
    waiting, messages = list(parts), []

    async def receive() -> Message:
        if not waiting:
            await asyncio.get_running_loop().create_future()
        return waiting.pop(0)

    async def send(message: Message) -> None:
        messages.append(message)

    scope: Scope = {"type": "http", "method": "POST", "raw_path": target, "headers": headers}
    try:
        await asyncio.wait_for(upstream(scope, receive, send), HANG_TIMEOUT)
    except Failure as failure:
        return failure.status
    return int(messages[0]["status"]) if messages else 0


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(st.none(), st.integers(0, 12)),
    st.booleans(),
    st.lists(st.binary(max_size=6), max_size=4),
    st.sampled_from([None, b"h2c", b"x", b"TLS/1.0"]),
)
async def test_delivered_body_leaves_the_pool_in_step(
    length: int | None, chunked: bool, bodies: list[bytes], upgrade: bytes | None
) -> None:
    headers = [(b"host", b"x")]
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    if chunked:
        headers.append((b"transfer-encoding", b"chunked"))
    if upgrade is not None:
        headers += [(b"connection", b"upgrade, content-length"), (b"upgrade", upgrade)]
    parts = [part(body, more=True) for body in bodies] + [part(b"")]
    body = b"".join(bodies)
    announced = body if chunked else body[: length or 0]
    fits = chunked or not length or len(body) == length
    async with forwarding() as (upstream, legacy):
        assert await call(upstream, b"/first", headers, parts) == (200 if fits else 400)
        for _ in range(2):
            assert await call(upstream, b"/innocent", [(b"content-length", b"3")], [part(b"abc")]) == 200
        received = [request for connection in legacy.connections for request in connection.requests]
    innocents = [(b"/innocent", b"abc")] * 2
    assert received == ([(b"/first", announced), *innocents] if fits else innocents)
    assert len(legacy.connections) == (1 if fits else 2)
    assert all(b"upgrade" not in connection.raw for connection in legacy.connections)


@pytest.mark.parametrize(
    ("headers", "framing"),
    [
        ([], (0, b"")),
        ([(b"content-length", b"5")], (5, b"")),
        ([(b"content-length", b"005")], (5, b"")),
        ([(b"content-length", b"5"), (b"content-length", b"5")], (5, b"")),
        ([(b"content-length", b"5"), (b"content-length", b"6")], (0, b"chunked")),
        ([(b"content-length", b"5, 5")], (0, b"chunked")),
        ([(b"content-length", b"+5")], (0, b"chunked")),
        ([(b"content-length", b"")], (0, b"chunked")),
        ([(b"content-length", b"5"), (b"transfer-encoding", b"chunked")], (0, b"chunked")),
        ([(b"transfer-encoding", b"gzip"), (b"transfer-encoding", b"Chunked")], (0, b"gzip, chunked")),
    ],
)
def test_body_framing_is_single_and_unambiguous(headers: RawHeaders, framing: tuple[int, bytes]) -> None:
    assert body_framing(headers) == framing
    head = EncodedRequest.of("PUT", b"/", headers, HeaderEncoder(ENDPOINT)).head(b"1")
    named = re.findall(rb"(?m)^(content-length|transfer-encoding): (.*)\r$", head)
    length, coding = framing
    lengths = [(b"content-length", b"%d" % length)] if headers and not coding else []
    assert named == ([(b"transfer-encoding", coding)] if coding else lengths)


def test_body_longer_than_its_length_is_not_framed() -> None:
    body = RequestBody(3)
    assert body.frame(b"ab", last=False) == b"ab"
    assert body.frame(b"c", last=False) == b""  # not before it is known to be the last
    with pytest.raises(BodyMismatch):
        body.frame(b"d", last=False)


def test_last_bytes_follow_once_the_end_is_known() -> None:
    body = RequestBody(3)
    assert [body.frame(b"ab", last=False), body.frame(b"c", last=False), body.frame(b"", last=True)] == [
        b"ab",
        b"",
        b"c",
    ]
    assert body.complete


@pytest.mark.parametrize(
    ("url", "mode", "given_host", "sent"),
    [
        ("http://legacy:81", "preserve", b"client", b"client"),
        ("http://legacy:81", "preserve", None, b"legacy:81"),
        ("http://legacy:80", "preserve", None, b"legacy"),
        ("https://legacy", "upstream", b"client", b"legacy"),
        ("https://[::1]:4", "upstream", None, b"[::1]:4"),
        ("unix:/run/x.sock", "preserve", None, b"localhost"),
        ("http://legacy:81", "api.example", b"client", b"api.example"),
        ("http://legacy:81", "api.example", None, b"api.example"),
    ],
)
def test_host_header_follows_the_configured_mode(url: str, mode: str, given_host: bytes | None, sent: bytes) -> None:
    headers = [(b"a", b"1")] + ([(b"host", given_host)] if given_host is not None else [])
    endpoint = Endpoint.parse(url, host_header=mode)
    head = EncodedRequest.of("GET", b"/", headers, HeaderEncoder(endpoint)).head(b"1")
    assert re.findall(rb"(?m)^host: (.*)\r$", head) == [sent]


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        (b"/", b"/base/"),
        (b"/a?q=/b", b"/base/a?q=/b"),
        (b"//a", b"/base//a"),
        (b"*", b"*"),
        (b"http://other/a?q", b"http://other/base/a?q"),
        (b"http://other", b"http://other/base"),
        (b"http://other?q", b"http://other/base?q"),
    ],
)
def test_base_path_precedes_the_target(target: bytes, sent: bytes) -> None:
    for url in ("http://h:1/base", "http://h:1/base/"):
        assert Endpoint.parse(url).target(target) == sent
    assert Endpoint.parse("http://h:1").target(target) == target


async def test_complete_request_is_one_write() -> None:
    reads: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            reads.append(data)
            writer.write(OK)

    async with scripted(script) as port:
        upstream = HttpUpstream(f"http://127.0.0.1:{port}")
        for _ in range(3):
            assert await call(upstream, b"/", [(b"content-length", b"3")], [part(b"abc")]) == 200
        upstream.close()
    assert [data.endswith(b"\r\n\r\nabc") for data in reads] == [True] * 3


async def test_early_answer_precedes_the_body_and_closes() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        assert await reader.read() == b""
        ended.set()

    connections: list[asyncio.StreamWriter] = []
    ended = asyncio.Event()
    async with scripted(script) as port:
        upstream = HttpUpstream(f"http://127.0.0.1:{port}")
        for number in (1, 2):
            ended.clear()
            assert await call(upstream, b"/", [(b"content-length", b"9")], []) == 401
            await asyncio.wait_for(ended.wait(), HANG_TIMEOUT)
            assert len(connections) == number
        upstream.close()


async def test_client_stalling_during_its_body_is_not_a_legacy_failure() -> None:
    async with forwarding() as (upstream, _):
        timeouts = Timeouts(1, 0.1, 0.1)
        scope: Scope = {"type": "http", "method": "POST", "path": "/", CONTEXT: RequestContext(timeouts=timeouts)}
        scope["headers"] = [(b"content-length", b"9")]
        delivered = iter([part(b"abc", more=True)])

        async def receive() -> Message:
            for message in delivered:
                return message
            await asyncio.sleep(1.0)  # many times legacy's own limit
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            raise AssertionError(message)

        await asyncio.wait_for(upstream(scope, receive, send), HANG_TIMEOUT)
