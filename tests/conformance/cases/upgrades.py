"""Offers to upgrade, and Expect: neither changes the end of a request."""

from __future__ import annotations

from typing import Final

from tests.conformance.case import SMUGGLED, Case, post, refused, request

OFFER: Final = "RFC 9110 §7.8"
EXPECT: Final = "RFC 9110 §10.1.1"
SIZE: Final = len(SMUGGLED) + 8
CHUNKED: Final = b"2d\r\n" + SMUGGLED + b"\r\n0\r\n\r\n"
OFFERS: Final = {
    "h2c": ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"),
    "x": ("Upgrade: x", "Connection: Upgrade"),
    "TLS/1.0": ("Upgrade: TLS/1.0", "Connection: Upgrade"),
    "two protocols": ("Upgrade: h2c, x", "Connection: Upgrade"),
    "two lines": ("Upgrade: h2c", "Upgrade: x", "Connection: Upgrade"),
    "no Connection": ("Upgrade: h2c",),
    "Connection without Upgrade": ("Connection: Upgrade",),
    "Connection: close": ("Upgrade: h2c", "Connection: close"),
    "lower case": ("upgrade: h2c", "connection: upgrade"),
    "an empty Upgrade": ("Upgrade:", "Connection: Upgrade"),
    "Upgrade twice in Connection": ("Upgrade: h2c", "Connection: Upgrade, Upgrade"),
    "HTTP/2.0": ("Upgrade: HTTP/2.0", "Connection: Upgrade"),
    "keep-alive and Upgrade": ("Upgrade: h2c", "Connection: keep-alive, Upgrade"),
    "two Connection lines": ("Upgrade: h2c", "Connection: keep-alive", "Connection: Upgrade"),
    "websocket misspelt": ("Upgrade: websockets", "Connection: Upgrade"),
    "websocket without Connection": ("Upgrade: websocket",),
}
FAULTY_HANDSHAKES: Final = {
    "no key": ("Sec-WebSocket-Version: 13",),
    "a short key": ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA=="),
    "no version": ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",),
    "version 99": ("Sec-WebSocket-Version: 99", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    "two keys": ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: x"),
}
WEBSOCKET: Final = ("Upgrade: websocket", "Connection: Upgrade")
GOOD_KEY: Final = ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
EXPECTATIONS: Final = ("200-ok", "100-continued", "x", "", "100-continue, x", "100", "continue", '"100-continue"')


def offers(name: str, lines: tuple[str, ...]) -> list[Case]:
    """Return the cases of an offer that nobody takes up: with no body, a length, chunks, and a pipeline."""
    is_persistent = not any("close" in line for line in lines)
    follows = (b"GET /n-~",) if is_persistent else ()
    after = request(start="GET /n-~ HTTP/1.1")
    hidden = b"POST /~ " + SMUGGLED
    return [
        Case(f"{name}: a GET", OFFER, request(*lines), drops=(b"upgrade", b"http2-settings")),
        Case(f"{name}: a length", OFFER, post(*lines, f"Content-Length: {SIZE}", body=SMUGGLED), (hidden,)),
        Case(f"{name}: chunks", OFFER, post(*lines, "Transfer-Encoding: chunked", body=CHUNKED), (hidden,)),
        Case(
            f"{name}: a GET with a body",
            OFFER,
            request(*lines, f"Content-Length: {SIZE}", body=SMUGGLED),
            (b"GET /~ " + SMUGGLED,),
        ),
        Case(
            f"{name}: then a request",
            OFFER,
            post(*lines, "Content-Length: 2", body=b"hi") + after,
            (b"POST /~ hi", *follows),
            (200,) * (1 + len(follows)),
        ),
    ]


CASES: Final = [
    *[case for name, lines in OFFERS.items() for case in offers(name, lines)],
    *[
        refused(f"websocket: {name}", "RFC 6455 §4.2.1", request(*WEBSOCKET, *lines))
        for name, lines in FAULTY_HANDSHAKES.items()
    ],
    refused("websocket: a POST", "RFC 6455 §4.2.1", post(*WEBSOCKET, *GOOD_KEY, "Content-Length: 0"), 405),
    Case(
        "websocket: a POST with a body",
        "RFC 6455 §4.2.1",
        post(*WEBSOCKET, *GOOD_KEY, f"Content-Length: {SIZE}", body=SMUGGLED),
        (b"POST /~ " + SMUGGLED,),
        or_refused=True,
    ),
    Case(
        "websocket: a faulty one with a body",
        "RFC 6455 §4.2.1",
        request(*WEBSOCKET, f"Content-Length: {SIZE}", body=SMUGGLED),
        (b"GET /~ " + SMUGGLED,),
        or_refused=True,
    ),
    Case(
        "websocket: a faulty one with chunks",
        "RFC 6455 §4.2.1",
        request(*WEBSOCKET, "Transfer-Encoding: chunked", body=CHUNKED),
        (b"GET /~ " + SMUGGLED,),
        or_refused=True,
    ),
    refused("websocket: a faulty one, then a request", "RFC 6455 §4.2.1", request(*WEBSOCKET) + SMUGGLED),
    Case(
        "Expect: 100-continue, the body at once",
        EXPECT,
        post("Expect: 100-continue", "Content-Length: 5", body=b"hello"),
        (b"POST /~ hello",),
    ),
    Case(
        "Expect: 100-continue, chunked",
        EXPECT,
        post("Expect: 100-continue", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
        (b"POST /~ hello",),
    ),
    Case(
        "Expect: 100-Continue",
        EXPECT,
        post("Expect: 100-Continue", "Content-Length: 5", body=b"hello"),
        (b"POST /~ hello",),
    ),
    Case("Expect: 100-continue without a body", EXPECT, request("Expect: 100-continue")),
    Case(
        "Expect: 100-continue of length zero", EXPECT, post("Expect: 100-continue", "Content-Length: 0"), (b"POST /~",)
    ),
    Case(
        "Expect: 100-continue twice",
        EXPECT,
        post("Expect: 100-continue", "Expect: 100-continue", "Content-Length: 5", body=b"hello"),
        (b"POST /~ hello",),
        or_refused=True,
    ),
    Case(
        "Expect: 100-continue, then a request",
        EXPECT,
        post("Expect: 100-continue", "Content-Length: 2", body=b"hi") + request(start="GET /n-~ HTTP/1.1"),
        (b"POST /~ hi", b"GET /n-~"),
        (200, 200),
    ),
    refused(
        "Expect: 100-continue and a faulty coding",
        EXPECT,
        post("Expect: 100-continue", "Transfer-Encoding: x", body=SMUGGLED),
    ),
    refused(
        "Expect: 100-continue, CL and TE",
        EXPECT,
        post("Expect: 100-continue", "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    ),
    *[
        Case(
            f"Expect: {value!r}",
            EXPECT,
            post(f"Expect: {value}", "Content-Length: 5", body=b"hello"),
            (b"POST /~ hello",),
            or_refused=True,
        )
        for value in EXPECTATIONS
    ],
]
