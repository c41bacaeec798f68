"""Responses that a legacy may send, and the outcome for the client: data for the tests of framing and of the upstream.

`status` 502 is the gateway's own. `body` is what reaches the client; `whole`, whether it ends as a whole response;
`reused`, whether the connection carries another request afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OK: Final = b"HTTP/1.1 200 OK\r\n"


@dataclass(frozen=True, slots=True)
class Response:
    name: str
    raw: bytes
    status: int = 200
    body: bytes = b""
    whole: bool = True
    reused: bool = False
    closes: bool = False
    method: str = "GET"
    nginx: bool = True
    """True if nginx 1.22 answers with the same status. It passes interim responses for final ones, ambiguous lengths
    (later versions refuse them) and lines without a colon."""


def malformed(name: str, raw: bytes, *, nginx: bool = True, closes: bool = True, method: str = "GET") -> Response:
    return Response(name, raw, 502, closes=closes, nginx=nginx, method=method)


SOUND: Final = (
    Response("length", OK + b"Content-Length: 2\r\n\r\nok", body=b"ok", reused=True),
    Response("length-zero", OK + b"Content-Length: 0\r\n\r\n", reused=True),
    Response("length-zeros", OK + b"Content-Length: 002\r\n\r\nok", body=b"ok", reused=True),
    Response("bare-lf", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", body=b"ok", reused=True),
    Response("mixed-line-ends", OK + b"A: b\nContent-Length: 2\r\n\nok", body=b"ok", reused=True),
    Response("no-reason", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", body=b"ok", reused=True, nginx=False),
    Response("empty-reason", b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", body=b"ok", reused=True),
    Response("latin-1-reason", b"HTTP/1.1 200 d\xe9j\xe0\r\nContent-Length: 2\r\n\r\nok", body=b"ok", reused=True),
    Response("obs-text-value", OK + b"X: caf\xe9 \xff\r\nContent-Length: 2\r\n\r\nok", body=b"ok", reused=True),
    Response("empty-value", OK + b"X:\r\nContent-Length: 2\r\n\r\nok", body=b"ok", reused=True),
    Response("status-299", b"HTTP/1.1 299 X\r\nContent-Length: 2\r\n\r\nok", 299, b"ok", reused=True),
    Response("status-600", b"HTTP/1.1 600 X\r\nContent-Length: 2\r\n\r\nok", 600, b"ok", reused=True),
    Response("status-999", b"HTTP/1.1 999 X\r\nContent-Length: 2\r\n\r\nok", 999, b"ok", reused=True),
    Response("chunked", OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", body=b"ok", reused=True),
    Response("chunked-case", OK + b"transfer-encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n", body=b"ok", reused=True),
    Response(
        "chunks-and-extensions",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1;a=b\r\no\r\n00001 ; c\r\nk\r\n0;x\r\n\r\n",
        body=b"ok",
        reused=True,
    ),
    Response("chunked-lf", OK + b"Transfer-Encoding: chunked\r\n\r\n2\nok\n0\n\n", body=b"ok", reused=True),
    Response(
        "trailers",
        OK + b"Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\nSet-Cookie: a\r\n\r\n",
        body=b"ok",
        reused=True,
    ),
    Response("close-delimited", OK + b"\r\nall of it", body=b"all of it", closes=True),
    Response("close-delimited-empty", OK + b"\r\n", closes=True),
    Response("http-1.0", b"HTTP/1.0 200 OK\r\n\r\nold", body=b"old", closes=True),
    Response("http-1.0-length", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", body=b"ok"),
    Response(
        "http-1.0-keep-alive",
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
        body=b"ok",
        reused=True,
    ),
    Response("connection-close", OK + b"Connection: x, Close\r\nContent-Length: 2\r\n\r\nok", body=b"ok"),
    Response(
        "connection-close-second-line",
        OK + b"Connection: keep-alive\r\nConnection: ,\tclose ,\r\nContent-Length: 2\r\n\r\nok",
        body=b"ok",
    ),
    Response("head-length", OK + b"Content-Length: 31\r\n\r\n", method="HEAD", reused=True),
    Response("head-chunked", OK + b"Transfer-Encoding: chunked\r\n\r\n", method="HEAD", reused=True),
    Response("head-unframed", OK + b"\r\n", method="HEAD", reused=True),
    Response("204", b"HTTP/1.1 204 No Content\r\n\r\n", 204, reused=True),
    Response("204-length", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, reused=True),
    Response("304-length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, reused=True),
    Response("304-chunked", b"HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n", 304, reused=True),
    Response("426", b"HTTP/1.1 426 X\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok", 426, b"ok", reused=True),
)

OK_2: Final = OK + b"Content-Length: 2\r\n\r\nok"
INTERIM: Final = (
    Response("103", b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK_2, body=b"ok", reused=True, nginx=False),
    Response("100-unasked", b"HTTP/1.1 100 Continue\r\n\r\n" + OK_2, body=b"ok", reused=True, nginx=False),
    Response("many-interim", b"HTTP/1.1 102 X\r\n\r\n" * 32 + OK_2, body=b"ok", reused=True, nginx=False),
    malformed("too-many-interim", b"HTTP/1.1 102 X\r\n\r\n" * 33 + OK_2, nginx=False),
    malformed("interim-then-end", b"HTTP/1.1 103 X\r\n\r\n", nginx=False),
    malformed("101-unasked", b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", closes=False, nginx=False),
)

EXCESS: Final = (
    Response("length-too-small", OK + b"Content-Length: 4\r\n\r\ncaf\xc3\xa9", body=b"caf\xc3"),
    Response("two-responses", (OK + b"Content-Length: 2\r\n\r\nok") * 2, body=b"ok"),
    Response("second-refused", OK + b"Content-Length: 2\r\n\r\nokHTTP/1.1 400 X\r\n\r\n", body=b"ok"),
    Response("after-zero", OK + b"Content-Length: 0\r\n\r\nx"),
    Response("after-204", b"HTTP/1.1 204 X\r\n\r\nbody", 204),
    Response("after-204-chunked", b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 204),
    Response("after-304", b"HTTP/1.1 304 X\r\nContent-Length: 2\r\n\r\nok", 304),
    Response("after-head", OK + b"Content-Length: 2\r\n\r\nok", method="HEAD"),
    Response("after-head-chunked", OK + b"Transfer-Encoding: chunked\r\n\r\n5", method="HEAD"),
    Response("after-chunked", OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\r\n", body=b"ok"),
    Response("line-end-after-length", OK + b"Content-Length: 2\r\n\r\nok\r\n", body=b"ok"),
)

CODINGS: Final = (
    Response("gzip-coding", OK + b"Transfer-Encoding: gzip\r\n\r\n2\r\nok", body=b"2\r\nok", closes=True),
    Response("identity-coding", OK + b"Transfer-Encoding: identity\r\n\r\nok", body=b"ok", closes=True),
    Response(
        "gzip-and-chunked",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        body=b"ok",
        reused=True,
    ),
    Response(
        "chunked-not-last",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n2\r\nok",
        body=b"2\r\nok",
        closes=True,
    ),
    malformed("chunked-twice", OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", nginx=False),
)

MALFORMED: Final = (
    malformed("status-099", b"HTTP/1.1 099 X\r\nContent-Length: 2\r\n\r\nok", closes=False, nginx=False),
    malformed("status-42", b"HTTP/1.1 42 X\r\nContent-Length: 2\r\n\r\nok", closes=False, nginx=False),
    malformed("status-1000", b"HTTP/1.1 1000 X\r\n\r\n", closes=False, nginx=False),
    malformed("not-http", b"SSH-2.0-OpenSSH_9\r\n", closes=False, nginx=False),
    malformed("http-2", b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", closes=False, nginx=False),
    malformed("nothing", b""),
    malformed("half-a-head", OK + b"Content-Le"),
    malformed("two-lengths", OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk", closes=False, nginx=False),
    malformed("same-length-twice", OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", closes=False, nginx=False),
    malformed("length-list", OK + b"Content-Length: 2, 2\r\n\r\nok", closes=False, nginx=False),
    malformed("length-sign", OK + b"Content-Length: +2\r\n\r\nok", closes=False, nginx=False),
    malformed("length-negative", OK + b"Content-Length: -2\r\n\r\nok", closes=False, nginx=False),
    malformed("length-hex", OK + b"Content-Length: 0x2\r\n\r\nok", closes=False, nginx=False),
    malformed("length-empty", OK + b"Content-Length:\r\n\r\n", closes=False, nginx=False),
    malformed("length-huge", OK + b"Content-Length: 99999999999999999999\r\n\r\nok", closes=False, nginx=False),
    malformed(
        "length-and-chunked",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        closes=False,
        nginx=False,
    ),
    malformed("space-in-name", OK + b"X Y: 1\r\nContent-Length: 0\r\n\r\n", closes=False),
    malformed("no-colon", OK + b"nonsense\r\nContent-Length: 0\r\n\r\n", closes=False, nginx=False),
    malformed("empty-name", OK + b": x\r\nContent-Length: 0\r\n\r\n", closes=False),
    malformed("folded", OK + b"X: 1\r\n 2\r\nContent-Length: 0\r\n\r\n", closes=False),
    malformed("nul-in-value", OK + b"X: \0\r\nContent-Length: 0\r\n\r\n", closes=False),
    malformed("cr-in-value", OK + b"X: a\rb\r\nContent-Length: 0\r\n\r\n", closes=False),
    malformed("head-too-large", OK + b"X: " + b"a" * (65 * 1024) + b"\r\n\r\n", closes=False),
    malformed("many-headers", OK + b"X: a\r\n" * 20_000 + b"\r\n", closes=False),
)

HALF: Final = OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf"


def broken(name: str, raw: bytes, *, nginx: bool = True, closes: bool = False) -> Response:
    return Response(name, raw, body=b"half", whole=False, closes=closes, nginx=nginx)


BROKEN: Final = (
    broken("length-cut", OK + b"Content-Length: 9\r\n\r\nhalf", closes=True),
    broken("chunk-cut", HALF, closes=True),
    broken("chunks-cut", HALF + b"\r\n", closes=True),
    broken("last-chunk-cut", HALF + b"\r\n0\r\n", closes=True),
    broken("chunk-size-bad", HALF + b"\r\nz\r\n", nginx=False),
    broken("chunk-size-signed", HALF + b"\r\n+1\r\nx", nginx=False),
    broken("chunk-size-huge", HALF + b"\r\nffffffffffffffffff\r\n", nginx=False),
    broken("chunk-too-long", HALF + b"er\r\n0\r\n\r\n", nginx=False),
    broken("chunk-extension-endless", HALF + b"\r\n1;" + b"x" * 17_000),
    broken("trailers-endless", HALF + b"\r\n0\r\n" + b"X: 1\r\n" * 3000),
)

RESPONSES: Final = (*SOUND, *INTERIM, *EXCESS, *CODINGS, *MALFORMED, *BROKEN)
