"""Answers of the upstream: status lines, statuses, headers and interim answers."""

from __future__ import annotations

from typing import Final

from tests.conformance.case import Case, answered, request
from tests.conformance.cases.answer_kinds import bad, interim

STATUS: Final = "RFC 9110 §15"
INTERIM: Final = "RFC 9110 §15.2"
HEADS: Final = "RFC 9112 §5"
LINE: Final = "RFC 9112 §4"
POISON: Final = b"HTTP/1.1 200 OK\r\nX-Poison: 1\r\nContent-Length: 6\r\n\r\npoison"
OK: Final = answered("Content-Length: 5", body=b"hello")
HEAD: Final = request(start="HEAD /~ HTTP/1.1")
LINES: Final = {
    "lower case": "http/1.1 200 OK",
    "no version": "200 OK",
    "ICY": "ICY 200 OK",
    "two digits": "HTTP/1.1 20 OK",
    "four digits": "HTTP/1.1 2000 OK",
    "a letter": "HTTP/1.1 2x0 OK",
    "a sign": "HTTP/1.1 -200 OK",
    "no status": "HTTP/1.1 OK",
    "status 099": "HTTP/1.1 099 OK",
    "status 99": "HTTP/1.1 99 OK",
    "status 000": "HTTP/1.1 000 OK",
    "two spaces": "HTTP/1.1  200 OK",
    "a request": "GET / HTTP/1.1",
}
LAX: Final = {
    "HTTP/1.2": "HTTP/1.2 200 OK",
    "HTTP/2.0": "HTTP/2.0 200 OK",
    "HTTP/0.9": "HTTP/0.9 200 OK",
    "a NUL": "HTTP/1.1 200 O\0K",
}
PASSING: Final = (
    *(200, 201, 202, 203, 206, 207, 226, 299, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 408, 409, 410),
    *(413, 418, 421, 422, 426, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 511, 520, 599, 600, 777, 999),
)
HEADERS: Final = {
    "a space before the colon": b"X-A : b",
    "a name with a space": b"X A: b",
    "no colon": b"X-A",
    "no name": b": b",
    "a NUL in a name": b"X\0A: b",
    "a NUL in a value": b"X-A: b\0c",
    "a control in a value": b"X-A: b\x01c",
    "a bare CR in a value": b"X-A: b\rc",
    "a byte above 0x7f in a name": b"X\xe4A: b",
    "a folded value": b"X-A: b\r\n c",
    "a separator in a name": b"X(A): b",
    "a bare LF": b"X-A: b\nX-B: c",
}


CASES: Final = [
    *[
        Case(
            f"status {status}",
            STATUS,
            returns=(status,),
            answer=answered("Content-Length: 5", start=f"HTTP/1.1 {status} Reason", body=b"hello"),
            body=b"hello",
        )
        for status in PASSING
    ],
    Case(
        "205 with a body",
        "RFC 9110 §15.3.6",
        returns=(205,),
        answer=answered("Content-Length: 5", start="HTTP/1.1 205 Reset", body=b"hello"),
        or_refused=True,
    ),
    Case(
        "426 keeps its Upgrade",
        "RFC 9110 §15.5.22",
        returns=(426,),
        answer=answered(
            "Upgrade: h2c", "Connection: Upgrade", "Content-Length: 0", start="HTTP/1.1 426 Upgrade Required"
        ),
        shows=(b"upgrade: h2c",),
    ),
    Case("no reason", LINE, answer=answered("Content-Length: 5", start="HTTP/1.1 200 ", body=b"hello"), body=b"hello"),
    Case(
        "no reason and no space",
        LINE,
        answer=answered("Content-Length: 5", start="HTTP/1.1 200", body=b"hello"),
        body=b"hello",
        or_refused=True,
    ),
    Case(
        "a reason of UTF-8",
        LINE,
        answer=answered("Content-Length: 5", start="HTTP/1.1 200 \xc3\xa4", body=b"hello"),
        body=b"hello",
        or_refused=True,
    ),
    Case(
        "a reason of 1,000 bytes",
        LINE,
        answer=answered("Content-Length: 5", start="HTTP/1.1 200 " + "x" * 1_000, body=b"hello"),
        body=b"hello",
    ),
    *[
        bad(
            f"a status line: {name}",
            LINE,
            answered("Content-Length: 5", start=start, body=b"hello"),
            or_refused=True,
            closes=True,
            endless=True,
        )
        for name, start in LINES.items()
    ],
    *[
        Case(
            f"a status line: {name}",
            LINE,
            answer=answered("Content-Length: 5", start=start, body=b"hello"),
            or_refused=True,
            closes=True,
            endless=True,
        )
        for name, start in LAX.items()
    ],
    Case(
        "HTTP/1.0 with a length",
        "RFC 9112 §2.3",
        answer=answered("Content-Length: 5", start="HTTP/1.0 200 OK", body=b"hello"),
        closes=True,
        body=b"hello",
    ),
    Case(
        "HTTP/1.0 with a length, left open",
        "RFC 9112 §2.3",
        answer=answered("Content-Length: 5", start="HTTP/1.0 200 OK", body=b"hello"),
        body=b"hello",
    ),
    Case(
        "HTTP/1.0 keep-alive",
        "RFC 9112 §2.3",
        answer=answered("Content-Length: 5", "Connection: keep-alive", start="HTTP/1.0 200 OK", body=b"hello"),
        body=b"hello",
    ),
    Case(
        "HTTP/1.0 up to the close",
        "RFC 9112 §2.3",
        answer=answered(start="HTTP/1.0 200 OK", body=b"hello"),
        closes=True,
        endless=True,
        body=b"hello",
    ),
    Case(
        "HTTP/1.0 with chunks",
        "RFC 9112 §6.1",
        answer=answered("Transfer-Encoding: chunked", start="HTTP/1.0 200 OK", body=b"5\r\nhello\r\n0\r\n\r\n"),
        closes=True,
        endless=True,
        or_refused=True,
    ),
    *[
        Case(
            f"interim: {', '.join(map(str, series))}",
            INTERIM,
            answer=interim(*series) + OK,
            body=b"hello",
            hides=(b"x-interim",),
            or_refused=bool({199, 110} & set(series)),
        )
        for series in ((100,), (102,), (103,), (100, 100), (100, 103), (103, 103, 103), (199,), (110,), (100,) * 20)
    ],
    Case(
        "interim: 100 with a length",
        INTERIM,
        answer=answered("Content-Length: 5", start="HTTP/1.1 100 Continue") + OK,
        body=b"hello",
        or_refused=True,
    ),
    bad("interim: 100, then nothing", INTERIM, interim(100), closes=True, endless=True),
    bad("interim: 103, then not HTTP", INTERIM, interim(103) + b"hello\r\n\r\n", closes=True, endless=True),
    bad(
        "101 that nobody asked for",
        "RFC 9110 §15.2.2",
        answered("Upgrade: x", "Connection: Upgrade", start="HTTP/1.1 101 Switching Protocols", body=b"hello"),
    ),
    bad(
        "101 and an answer behind",
        "RFC 9110 §15.2.2",
        answered("Upgrade: x", "Connection: Upgrade", start="HTTP/1.1 101 Switching Protocols") + POISON,
    ),
    bad("101 without Upgrade", "RFC 9110 §15.2.2", answered(start="HTTP/1.1 101 Switching Protocols"), closes=True),
    Case(
        "bytes above 0x7f in a value",
        "RFC 9110 §5.5",
        answer=answered("X-A: \xe4\xff", "Content-Length: 5", body=b"hello"),
        body=b"hello",
        shows=(b"x-a: \xe4\xff",),
    ),
    Case(
        "an empty value",
        HEADS,
        answer=answered("X-A:", "Content-Length: 5", body=b"hello"),
        body=b"hello",
        shows=(b"x-a:",),
    ),
    Case(
        "a header twice",
        HEADS,
        answer=answered("Set-Cookie: a=1", "Set-Cookie: b=2", "Content-Length: 5", body=b"hello"),
        body=b"hello",
        shows=(b"set-cookie: a=1", b"set-cookie: b=2"),
    ),
    Case(
        "100 headers",
        HEADS,
        answer=answered(*[f"X-{i}: b" for i in range(100)], "Content-Length: 5", body=b"hello"),
        body=b"hello",
        shows=(b"x-99: b",),
        or_refused=True,
    ),
    Case(
        "a value of 12,000 bytes",
        HEADS,
        answer=answered("X-A: " + "b" * 12_000, "Content-Length: 5", body=b"hello"),
        body=b"hello",
        or_refused=True,
    ),
    Case(
        "a head of 1 MB",
        HEADS,
        returns=(502,),
        answer=answered(*["X-A: " + "b" * 1_000] * 1_000, "Content-Length: 5", body=b"hello"),
        or_refused=True,
        body=None,
    ),
    *[
        Case(
            f"a header: {name}",
            HEADS,
            answer=answered(body=b"").replace(b"\r\n\r\n", b"\r\n" + line + b"\r\nContent-Length: 5\r\n\r\nhello"),
            or_refused=True,
            closes=True,
            endless=True,
        )
        for name, line in HEADERS.items()
    ],
    Case(
        "a header named by Connection",
        "RFC 9110 §7.6.1",
        answer=answered("Connection: X-A", "X-A: b", "Content-Length: 5", body=b"hello"),
        body=b"hello",
        hides=(b"x-a",),
    ),
    Case(
        "Connection names content-length",
        "RFC 9110 §7.6.1",
        answer=answered("Connection: content-length", "Content-Length: 5", body=b"hello"),
        body=b"hello",
    ),
    Case(
        "Connection on two lines",
        "RFC 9110 §7.6.1",
        answer=answered("Connection: X-A", "Connection: X-B", "X-A: b", "X-B: c", "Content-Length: 5", body=b"hello"),
        body=b"hello",
        hides=(b"x-a", b"x-b"),
    ),
    Case(
        "Connection: close on the second line",
        "RFC 9112 §9.6",
        answer=answered("Connection: keep-alive", "Connection: close", "Content-Length: 5", body=b"hello"),
        body=b"hello",
    ),
    Case(
        "hop-by-hop headers",
        "RFC 9110 §7.6.1",
        answer=answered("Keep-Alive: timeout=5", "Proxy-Connection: x", "Content-Length: 5", body=b"hello"),
        body=b"hello",
        hides=(b"proxy-connection",),
    ),
    Case("an empty line before the answer", LINE, answer=b"\r\n" + OK, or_refused=True, closes=True, endless=True),
    bad("half a status line", LINE, b"HTTP/1.", closes=True, endless=True),
    bad("half a head", HEADS, b"HTTP/1.1 200 OK\r\nX-A: ", closes=True, endless=True),
    bad("not HTTP", LINE, b"hello\r\n", closes=True, endless=True),
    bad("a TLS alert", LINE, b"\x15\x03\x01\x00\x02\x02\x28", closes=True, endless=True),
    bad("NULs", LINE, b"\0" * 50, closes=True, endless=True),
    bad("lines that end in CR", LINE, OK.replace(b"\r\n", b"\r"), closes=True, endless=True),
    Case("lines that end in LF", LINE, answer=OK.replace(b"\r\n", b"\n"), or_refused=True, closes=True, endless=True),
]
