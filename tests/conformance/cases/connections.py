"""Connections: nominated headers, keep-alive, HTTP/1.0, pipelines, half-closes, clients that leave."""

from __future__ import annotations

from typing import Final

from tests.conformance.case import GET, Case, answered, post, refused, request

NOMINATED: Final = "RFC 9110 §7.6.1"
PERSISTENCE: Final = "RFC 9112 §9.3"
PIPELINE: Final = "RFC 9112 §9.3.2"
OLD: Final = "RFC 9112 §2.3"
ENDING: Final = "RFC 9112 §9.6"
HOP_BY_HOP: Final = {
    "Keep-Alive: timeout=9": b"keep-alive", "Proxy-Connection: keep-alive": b"proxy-connection", "TE: trailers": b"te:",
    "TE: gzip;q=1, trailers": b"te:", "Trailer: X-Sum": b"trailer", "Upgrade: x": b"upgrade",
    "Proxy-Authorization: Basic eA==": b"proxy-authorization",
}  # fmt: skip
NOMINATIONS: Final = (
    "close",
    "keep-alive",
    "Keep-Alive",
    "KEEP-ALIVE",
    "X-A",
    "x-a",
    "X-A, X-B",
    "X-A,X-B",
    " , X-A,, X-B ,",
    "\tX-A",
    "keep-alive, X-A",
)
PROTECTED: Final = {
    "content-length": (
        post("Connection: content-length", "Content-Length: 5", body=b"hello"),
        (b"POST /~ hello",),
        (b"content-length: 5",),
    ),
    "Content-Length, upper case": (
        post("Connection: CONTENT-LENGTH", "Content-Length: 5", body=b"hello"),
        (b"POST /~ hello",),
        (b"content-length: 5",),
    ),
    "transfer-encoding": (
        post("Connection: transfer-encoding", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
        (b"POST /~ hello",),
        (),
    ),
    "host": (request("Connection: host"), (b"GET /~",), (b"host: a",)),
    "close and host": (request("Connection: close, host"), (b"GET /~",), (b"host: a",)),
    "content-length after a list": (
        post("Connection: x, y, content-length", "Content-Length: 5", body=b"hello"),
        (b"POST /~ hello",),
        (b"content-length: 5",),
    ),
}
FORWARDING: Final = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")


def old(*lines: str, start: str = "GET /~ HTTP/1.0", host: str | None = "a", body: bytes = b"") -> bytes:
    """Return a request in HTTP/1.0."""
    return request(*lines, start=start, host=host, body=body)


def numbered(count: int, body: bytes = b"") -> tuple[bytes, tuple[bytes, ...]]:
    """Return a pipeline of so many requests, and what reaches the upstream."""
    length = [f"Content-Length: {len(body)}"] if body else []
    start = "POST" if body else "GET"
    wire = b"".join(request(*length, start=f"{start} /{i}-~ HTTP/1.1", body=body) for i in range(count))
    tail = b" " + body if body else b""
    return wire, tuple(f"{start} /{i}-~".encode() + tail for i in range(count))


def pipeline(name: str, sent: bytes, reaches: tuple[bytes, ...], **more: object) -> Case:
    """Return the case of a pipeline of which every request gets its answer."""
    return Case(name, PIPELINE, sent, reaches, (200,) * len(reaches), **more)  # type: ignore[arg-type]


CHUNKED: Final = post("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n", target="/c-~")
LENGTH: Final = post("Content-Length: 5", body=b"hello", target="/l-~")
PLAIN: Final = request(start="GET /p-~ HTTP/1.1")
HEAD: Final = request(start="HEAD /h-~ HTTP/1.1")
CHUNKED_ANSWER: Final = answered("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n")
REFUSED: Final = answered("Content-Length: 2", start="HTTP/1.1 401 Unauthorized", body=b"no")

CASES: Final = [
    *[
        Case(
            f"Connection: {value!r}",
            NOMINATED,
            request(f"Connection: {value}", "X-A: 1", "X-B: 2"),
            carries=() if "X-A" in value.upper() else (b"x-a",),
            drops=(b"connection",)
            + ((b"x-a",) if "X-A" in value.upper() else ())
            + ((b"x-b",) if "X-B" in value else ()),
        )
        for value in NOMINATIONS
    ],
    Case(
        "Connection on two lines",
        NOMINATED,
        request("Connection: X-A", "Connection: X-B", "X-A: 1", "X-B: 2"),
        drops=(b"x-a", b"x-b"),
    ),
    Case("Connection behind what it names", NOMINATED, request("X-A: 1", "Connection: X-A"), drops=(b"x-a",)),
    Case(
        "Connection: close on the second line",
        NOMINATED,
        request("Connection: keep-alive", "Connection: close"),
        shows=(b"connection: close",),
    ),
    *[
        Case(f"Connection names {name}", NOMINATED, sent, reaches, carries=carries, or_refused=True)
        for name, (sent, reaches, carries) in PROTECTED.items()
    ],
    *[
        Case(
            f"Connection names {name}",
            NOMINATED,
            request(f"Connection: {name}", f"{name}: evil"),
            carries=(name.lower().encode() + b": ",),
            drops=(f"{name.lower()}: evil".encode(),),
        )
        for name in FORWARDING
    ],
    *[Case(f"hop by hop: {line}", NOMINATED, request(line), drops=(start,)) for line, start in HOP_BY_HOP.items()],
    Case("TE named by Connection", "RFC 9110 §10.1.4", request("TE: trailers", "Connection: TE"), drops=(b"te:",)),
    Case("keep-alive by default", PERSISTENCE),
    Case("Connection: close", PERSISTENCE, request("Connection: close"), shows=(b"connection: close",)),
    Case(
        "Connection: close of a POST",
        PERSISTENCE,
        post("Connection: close", "Content-Length: 5", body=b"hello"),
        (b"POST /~ hello",),
    ),
    Case(
        "Connection: close and two requests",
        PERSISTENCE,
        request("Connection: close") + request(start="GET /smuggled-~ HTTP/1.1"),
    ),
    Case("HTTP/1.0", OLD, old(), hides=(b"transfer-encoding",)),
    Case("HTTP/1.0 without Host", OLD, old(host=None), carries=(b"host: ",)),
    Case(
        "HTTP/1.0 without Host, with a port",
        OLD,
        old("User-Agent: check", host=None, start="OPTIONS /~ HTTP/1.0"),
        (b"OPTIONS /~",),
    ),
    refused("HTTP/1.0 with two Hosts", OLD, old("Host: b")),
    refused("HTTP/1.0 with an invalid Host", OLD, old(host="a b")),
    Case("HTTP/1.0 keep-alive", OLD, old("Connection: keep-alive"), shows=(b"connection: keep-alive",)),
    Case(
        "HTTP/1.0 keep-alive and two requests",
        OLD,
        old("Connection: keep-alive") + old("Connection: keep-alive", start="GET /2-~ HTTP/1.0"),
        (b"GET /~", b"GET /2-~"),
        (200, 200),
    ),
    Case("HTTP/1.0 and two requests", OLD, old() + old(start="GET /smuggled-~ HTTP/1.0")),
    Case(
        "HTTP/1.0 with a body",
        OLD,
        old("Content-Length: 5", start="POST /~ HTTP/1.0", body=b"hello"),
        (b"POST /~ hello",),
    ),
    Case("HTTP/1.0, POST without a length", OLD, old(start="POST /~ HTTP/1.0"), (b"POST /~",), or_refused=True),
    Case(
        "HTTP/1.0 and a chunked answer",
        OLD,
        old(),
        answer=CHUNKED_ANSWER,
        body=b"helloyou",
        hides=(b"transfer-encoding",),
    ),
    Case(
        "HTTP/1.0 keep-alive and a chunked answer",
        OLD,
        old("Connection: keep-alive"),
        answer=CHUNKED_ANSWER,
        body=b"helloyou",
        hides=(b"transfer-encoding",),
    ),
    Case(
        "HTTP/1.0 and an answer up to the close",
        OLD,
        old(),
        answer=answered(body=b"hello"),
        closes=True,
        endless=True,
        body=b"hello",
        hides=(b"transfer-encoding",),
    ),
    Case(
        "HTTP/1.0 and Expect",
        OLD,
        old("Expect: 100-continue", "Content-Length: 5", start="POST /~ HTTP/1.0", body=b"hello"),
        (b"POST /~ hello",),
    ),
    Case("HTTP/1.0 HEAD", OLD, old(start="HEAD /~ HTTP/1.0"), (b"HEAD /~",)),
    Case(
        "HTTP/1.0 and an absolute target",
        OLD,
        old(start="GET http://b/~ HTTP/1.0", host=None),
        (b"GET /~",),
        carries=(b"host: b",),
        or_refused=True,
        or_reaches=(b"GET http://b/~",),
    ),
    pipeline("two requests", *numbered(2)),
    pipeline("ten requests", *numbered(10)),
    pipeline("forty requests", *numbered(40)),
    pipeline("ten requests with bodies", *numbered(10, b"hello")),
    pipeline("two requests with bodies of 20,000 bytes", *numbered(2, b"x" * 20_000)),
    pipeline("a chunked one, then a plain one", CHUNKED + PLAIN, (b"POST /c-~ hello", b"GET /p-~")),
    pipeline("a plain one, then a chunked one", PLAIN + CHUNKED, (b"GET /p-~", b"POST /c-~ hello")),
    pipeline("one with a length, then a chunked one", LENGTH + CHUNKED, (b"POST /l-~ hello", b"POST /c-~ hello")),
    pipeline("HEAD, then GET", HEAD + PLAIN, (b"HEAD /h-~", b"GET /p-~")),
    pipeline(
        "GET, HEAD, POST, HEAD",
        PLAIN + HEAD + LENGTH + HEAD,
        (b"GET /p-~", b"HEAD /h-~", b"POST /l-~ hello", b"HEAD /h-~"),
    ),
    pipeline("an empty line between", PLAIN + b"\r\n" + LENGTH, (b"GET /p-~", b"POST /l-~ hello"), or_refused=True),
    Case(
        "an empty line behind a body",
        PIPELINE,
        LENGTH + b"\r\n" + PLAIN,
        (b"POST /l-~ hello", b"GET /p-~"),
        (200, 200),
        or_refused=True,
    ),
    Case(
        "a valid one, then an invalid one",
        PIPELINE,
        PLAIN + b"GET /smuggled-~\x01 HTTP/1.1\r\n\r\n",
        (b"GET /p-~",),
        (200, 400),
    ),
    Case("a valid one, then one with two Hosts", PIPELINE, PLAIN + request("Host: b"), (b"GET /p-~",), (200, 400)),
    Case(
        "a valid one, then one with CL and TE",
        PIPELINE,
        PLAIN + post("Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        (b"GET /p-~",),
        (200, 400),
    ),
    Case(
        "a valid one, then an invalid body",
        PIPELINE,
        PLAIN + post("Transfer-Encoding: chunked", body=b"x\r\n"),
        (b"GET /p-~",),
        (200, 400),
    ),
    refused(
        "an invalid one, then a valid one", PIPELINE, request("X A: b") + request(start="GET /smuggled-~ HTTP/1.1")
    ),
    Case("two requests, the client half-closes", ENDING, *numbered(2), (200, 200), half_closes=True),
    Case("a request, the client half-closes", ENDING, GET, half_closes=True),
    Case("a POST, the client half-closes", ENDING, LENGTH, (b"POST /l-~ hello",), half_closes=True),
    Case("a chunked POST, the client half-closes", ENDING, CHUNKED, (b"POST /c-~ hello",), half_closes=True),
    Case("Connection: close, the client half-closes", ENDING, request("Connection: close"), half_closes=True),
    Case("HTTP/1.0, the client half-closes", ENDING, old(), half_closes=True),
    Case(
        "a chunked answer, the client half-closes",
        ENDING,
        GET,
        answer=CHUNKED_ANSWER,
        body=b"helloyou",
        half_closes=True,
    ),
    Case(
        "half a head, the client half-closes",
        ENDING,
        b"GET /~ HTTP/1.1\r\nHos",
        reaches=(),
        returns=(400,),
        half_closes=True,
        unfinished=True,
        or_refused=True,
    ),
    Case(
        "half a head, the client waits",
        ENDING,
        b"GET /~ HTTP/1.1\r\nHos",
        reaches=(),
        returns=(408,),
        unfinished=True,
        or_refused=True,
    ),
    Case("a request, the client leaves", ENDING, GET, leaves=True),
    Case("a POST, the client leaves", ENDING, LENGTH, (b"POST /l-~ hello",), leaves=True),
    Case("ten requests, the client leaves", ENDING, *numbered(10), leaves=True),
    Case("half a head, the client leaves", ENDING, b"GET /~ HTTP/1.1\r\nHos", leaves=True, unfinished=True),
    Case(
        "an early answer to a length",
        "RFC 9112 §9.3",
        post("Content-Length: 5", body=b"hello"),
        (b"POST /~ hello",),
        (401,),
        answer=REFUSED,
        early=True,
        body=b"no",
    ),
    Case(
        "an early answer to chunks",
        "RFC 9112 §9.3",
        post("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
        (b"POST /~ hello",),
        (401,),
        answer=REFUSED,
        early=True,
        body=b"no",
    ),
    Case(
        "an early answer, and the upstream closes",
        "RFC 9112 §9.3",
        post("Content-Length: 5", body=b"hello"),
        (b"POST /~ hello",),
        (401,),
        answer=REFUSED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        early=True,
        closes=True,
        body=b"no",
    ),
    Case(
        "an early answer to a body that stops",
        "RFC 9112 §9.3",
        post("Content-Length: 50", body=b"hello"),
        (),
        (401,),
        answer=REFUSED,
        early=True,
        body=b"no",
        unfinished=True,
    ),
    Case(
        "an early answer to chunks that stop",
        "RFC 9112 §9.3",
        post("Transfer-Encoding: chunked", body=b"5\r\nhel"),
        (),
        (401,),
        answer=REFUSED,
        early=True,
        body=b"no",
        unfinished=True,
    ),
    Case(
        "an early answer to a head alone",
        "RFC 9112 §9.3",
        post("Content-Length: 50"),
        (),
        (401,),
        answer=REFUSED,
        early=True,
        body=b"no",
        unfinished=True,
    ),
    Case(
        "an early answer to 70,000 bytes",
        "RFC 9112 §9.3",
        post("Content-Length: 70000", body=b"x" * 70_000),
        (b"POST /~ " + b"x" * 70_000,),
        (401,),
        answer=REFUSED,
        early=True,
        body=b"no",
    ),
]
