"""Requests on real sockets: whole, byte by byte, cut in two, and followed by an ordinary request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from tests.support.pieces import deliveries
from tests.support.profile import spread
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT

INNOCENT = b"GET /innocent HTTP/1.1\r\nHost: i\r\nConnection: close\r\n\r\n"
AT_ONCE = 64
LOOPS = {"uvloop": uvloop.new_event_loop}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request as the app sees it, once its body is whole."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    received = [scope["method"], scope["proxy.target"].decode("latin-1"), headers, body.decode("latin-1")]
    answer = json.dumps(received).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


async def deliver(port: int, pieces: Sequence[bytes], turns: asyncio.Semaphore) -> bytes:
    async with turns:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for index, piece in enumerate(pieces):
                if index:
                    await asyncio.sleep(0.002)
                writer.write(piece)
            async with asyncio.timeout(HANG_TIMEOUT):
                return await reader.read()
        except ConnectionError:
            return b"(reset)"
        finally:
            writer.close()


async def answers_to(raw: bytes) -> set[bytes]:
    """Return the distinct answers over the deliveries; one element if the delivery does not matter."""
    turns = asyncio.Semaphore(AT_ONCE)
    async with serving(echo) as port:
        return set(await asyncio.gather(*(deliver(port, pieces, turns) for pieces in deliveries(raw))))


def bodies(answer: bytes) -> list[Any]:
    """Return the bodies that the app received of requests that were answered with 200."""
    received = []
    while answer.startswith(b"HTTP/1.1 200 OK\r\n"):
        head, _, rest = answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        received.append(json.loads(rest[:length]))
        answer = rest[length:]
    assert answer == b""
    return received


def post(*headers: str, body: bytes = b"", target: str = "/a") -> bytes:
    return "\r\n".join([f"POST {target} HTTP/1.1", "Host: a", *headers, "", ""]).encode("latin-1") + body


CHUNKED = b"4;x=y\r\nGET \r\nb\r\n/evil HTTP/\r\n0\r\n\r\n"
TRAILERS = b"3\r\nabc\r\n0\r\nHost: evil\r\nAuthorization: x\r\nX-Proxy-Side: native\r\n\r\n"
EVIL = b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
OFFERS = ["h2c", "x", "TLS/1.0", "h2c, websocket", "websocket/13"]
FRAMINGS: list[tuple[list[str], bytes, str]] = [
    ([], b"", ""),
    (["Content-Length: 0"], b"", ""),
    ([f"Content-Length: {len(EVIL)}"], EVIL, EVIL.decode()),
    (["Transfer-Encoding: chunked"], CHUNKED, "GET /evil HTTP/"),
    (["Transfer-Encoding: chunked"], TRAILERS, "abc"),
]
UPGRADES = [
    (offer, *each)
    for way, offer in enumerate(OFFERS)
    for each in (FRAMINGS[0], *spread(FRAMINGS[1:], way % 4, 4))  # without a body, each offer may be accepted
]


@pytest.mark.parametrize(("offer", "framing", "body", "content"), UPGRADES)
async def test_ignored_upgrade_changes_no_framing(offer: str, framing: list[str], body: bytes, content: str) -> None:
    raw = post("Connection: Upgrade", f"Upgrade: {offer}", *framing, body=body)
    (answer,) = await answers_to(raw + INNOCENT)
    first, second = bodies(answer)
    assert (first[0], first[1], first[3]) == ("POST", "/a", content)
    assert (second[0], second[1], second[3]) == ("GET", "/innocent", "")


async def test_websocket_offer_with_a_body_is_a_request_with_a_body() -> None:
    raw = post("Connection: Upgrade", "Upgrade: websocket", "Content-Length: 3", body=b"abc")
    (answer,) = await answers_to(raw + INNOCENT)
    assert [request[3] for request in bodies(answer)] == ["abc", ""]


async def test_trailers_are_dropped() -> None:
    (answer,) = await answers_to(post("Transfer-Encoding: chunked", body=TRAILERS) + INNOCENT)
    first, second = bodies(answer)
    assert first[2] == [["host", "a"], ["transfer-encoding", "chunked"]]
    assert first[3] == "abc"
    assert second[1] == "/innocent"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", b"400 Bad Request"),
        (b"GET /a HTTP/1.1\r\nHost: a b\r\n\r\n", b"400 Bad Request"),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", b"405 Method Not Allowed"),
        (post("Content-Length: 3\t", body=b"abc"), b"400 Bad Request"),
        (post("Expect: coffee", "Content-Length: 3", body=b"abc"), b"417 Expectation Failed"),
        (post("Expect: 100-continue", "Transfer-Encoding: gzip", body=b"abc"), b"400 Bad Request"),
        (post("Transfer-Encoding: chunked", body=b"3\r\nabcd\r\n0\r\n\r\n"), b"400 Bad Request"),
        (post("Transfer-Encoding: chunked", body=b"0\r\nContent-Length: 3\r\n\r\n"), b"400 Bad Request"),
    ],
)
async def test_refused_request_ends_the_connection(raw: bytes, status: bytes) -> None:
    assert await answers_to(raw + INNOCENT) == {b"HTTP/1.1 " + status + b"\r\nConnection: close\r\n\r\n"}


async def test_bad_chunk_after_an_expectation_is_a_bad_request() -> None:
    raw = post("Expect: 100-continue", "Transfer-Encoding: chunked", body=b"ZZ\r\n")
    refusal = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
    assert {answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n") for answer in await answers_to(raw)} == {refusal}


@pytest.mark.parametrize(
    ("target", "host"), [("http://b/x", "b"), ("http://a/x", "a"), ("https://b:8443/x?y", "b:8443")]
)
async def test_authority_of_the_target_is_the_host(target: str, host: str) -> None:
    (answer,) = await answers_to(post("Content-Length: 2", body=b"ab", target=target) + INNOCENT)
    first, second = bodies(answer)
    assert first[1] == target
    assert [value for name, value in first[2] if name == "host"] == [host]
    assert second[1] == "/innocent"


@pytest.mark.parametrize(("size", "status"), [(10_000, b"200 OK"), (17_000, b"413 Payload Too Large")])
async def test_chunk_extensions_have_nodes_limit(size: int, status: bytes) -> None:
    raw = post("Transfer-Encoding: chunked", body=b"3;" + b"x" * size + b"\r\nabc\r\n0\r\n\r\n")
    async with serving(echo) as port:
        answer = await deliver(port, [raw[:100], raw[100:], INNOCENT], asyncio.Semaphore())
    assert answer.startswith(b"HTTP/1.1 " + status + b"\r\n")
    assert answer.count(b"HTTP/1.1 ") == (2 if status == b"200 OK" else 1)


@pytest.mark.parametrize(("size", "status"), [(10_000, b"200 OK"), (17_000, b"431 Request Header Fields Too Large")])
async def test_trailers_have_nodes_limit(size: int, status: bytes) -> None:
    raw = post("Transfer-Encoding: chunked", body=b"0\r\n" + b"X: " + b"x" * size + b"\r\n\r\n")
    async with serving(echo) as port:
        answer = await deliver(port, [raw + INNOCENT], asyncio.Semaphore())
    assert answer.startswith(b"HTTP/1.1 " + status + b"\r\n")


async def test_pipelined_body_before_half_a_head_is_not_a_large_head() -> None:
    raw = post("Content-Length: 20000", body=b"x" * 20_000) + INNOCENT
    async with serving(echo) as port:
        answer = await deliver(port, [raw[:-20], raw[-20:]], asyncio.Semaphore())
    assert [len(request[3]) for request in bodies(answer)] == [20_000, 0]


async def test_long_target_is_served() -> None:
    target = "/" + "x" * 16_299
    async with serving(echo) as port:
        answer = await deliver(port, [post("Connection: close", target=target)], asyncio.Semaphore())
    assert bodies(answer)[0][1] == target


async def test_pipeline_is_answered_in_order() -> None:
    requests = [post(f"Content-Length: {n}", body=b"x" * n, target=f"/{n}") for n in range(60)]
    async with serving(echo) as port:
        answer = await deliver(port, [b"".join(requests) + INNOCENT], asyncio.Semaphore())
    assert [(request[1], len(request[3])) for request in bodies(answer)[:-1]] == [(f"/{n}", n) for n in range(60)]
