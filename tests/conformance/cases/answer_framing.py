"""Answers of the upstream: lengths, chunks, bodies that are none, and the bytes beyond an answer's end."""

from __future__ import annotations

from typing import Final

from tests.conformance.case import Case, answered, request
from tests.conformance.cases.answer_kinds import bad, broken, interim

FRAMING: Final = "RFC 9112 §6.3"
CHUNKS: Final = "RFC 9112 §7.1"
TRAILERS: Final = "RFC 9110 §6.5.1"
POISON: Final = b"HTTP/1.1 200 OK\r\nX-Poison: 1\r\nContent-Length: 6\r\n\r\npoison"
OK: Final = answered("Content-Length: 5", body=b"hello")
HEAD: Final = request(start="HEAD /~ HTTP/1.1")
BROKEN_CHUNKS: Final = {
    "a size over 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "a prefixed size": b"0x5\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "letters": b"zz\r\nhello\r\n0\r\n\r\n",
    "data longer than its size": b"3\r\nhello\r\n0\r\n\r\n",
    "data shorter than its size": b"8\r\nhello\r\n0\r\n\r\n",
    "data without an end": b"5\r\nhello0\r\n\r\n",
    "a size line that ends in CR": b"5\rhello\r\n0\r\n\r\n",
    "a NUL in an extension": b"5;a\0\r\nhello\r\n0\r\n\r\n",
    "a space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
}
FAULTY_LENGTHS: Final = {
    "plus sign": "+5",
    "minus sign": "-5",
    "hexadecimal": "0x5",
    "letters": "five",
    "decimal point": "5.0",
    "inner space": "1 5",
    "unequal list": "5, 6",
    "empty": "",
    "over 64 bits": "18446744073709551621",
    "trailing letter": "5a",
    "underscore": "1_0",
    "NUL": "5\0",
}


def bodiless(name: str, start: str, status: int, *lines: str) -> list[Case]:
    """Return the cases of an answer without a body: alone, with bytes behind, with framing that means nothing."""
    return [
        Case(name, FRAMING, returns=(status,), answer=answered(*lines, start=start), body=b""),
        Case(
            f"{name} and bytes behind",
            FRAMING,
            returns=(status,),
            answer=answered(*lines, start=start, body=b"hello"),
            body=b"",
            or_refused=True,
        ),
        Case(
            f"{name} with a length and its bytes",
            FRAMING,
            returns=(status,),
            answer=answered("Content-Length: 5", *lines, start=start, body=b"hello"),
            body=b"",
            or_refused=True,
        ),
        Case(
            f"{name} with a length alone",
            FRAMING,
            returns=(status,),
            answer=answered("Content-Length: 5", *lines, start=start),
            body=b"",
        ),
        Case(
            f"{name} with chunks",
            FRAMING,
            returns=(status,),
            answer=answered("Transfer-Encoding: chunked", *lines, start=start, body=b"0\r\n\r\n"),
            body=b"",
            or_refused=True,
        ),
        Case(
            f"{name} and an answer behind",
            FRAMING,
            returns=(status,),
            answer=answered(*lines, start=start, body=POISON),
            body=b"",
            or_refused=True,
        ),
        Case(
            f"{name}, the connection closed",
            FRAMING,
            returns=(status,),
            answer=answered("Connection: close", *lines, start=start),
            closes=True,
            body=b"",
        ),
    ]


def headed(name: str, *lines: str, body: bytes = b"") -> Case:
    """Return the case of an answer to HEAD."""
    return Case(
        f"HEAD: {name}",
        "RFC 9110 §9.3.2",
        HEAD,
        (b"HEAD /~",),
        answer=answered(*lines, body=body),
        body=b"",
        or_refused=bool(body),
    )


CASES: Final = [
    Case("a length", FRAMING, answer=OK, body=b"hello", shows=(b"content-length: 5",)),
    Case("a length of zero", FRAMING, answer=answered("Content-Length: 0"), body=b""),
    Case(
        "a length and Connection: close",
        FRAMING,
        answer=answered("Content-Length: 5", "Connection: close", body=b"hello"),
        closes=True,
        body=b"hello",
    ),
    Case("a length, closed without a word", FRAMING, answer=OK, closes=True, body=b"hello"),
    Case("70,000 bytes", FRAMING, answer=answered("Content-Length: 70000", body=b"x" * 70_000), body=b"x" * 70_000),
    Case(
        "no length, up to the close", FRAMING, answer=answered(body=b"hello"), closes=True, endless=True, body=b"hello"
    ),
    Case("no length, nothing, up to the close", FRAMING, answer=answered(), closes=True, endless=True, body=b""),
    Case(
        "no length, an answer in the body",
        FRAMING,
        answer=answered(body=b"HTTP/1.1 404 No\r\n\r\n"),
        closes=True,
        endless=True,
        body=b"HTTP/1.1 404 No\r\n\r\n",
    ),
    Case(
        "an unknown coding, up to the close",
        FRAMING,
        answer=answered("Transfer-Encoding: x", body=b"hello"),
        closes=True,
        endless=True,
        body=b"hello",
        or_refused=True,
    ),
    Case(
        "gzip as a coding, up to the close",
        FRAMING,
        answer=answered("Transfer-Encoding: gzip", body=b"hello"),
        closes=True,
        endless=True,
        or_refused=True,
    ),
    Case(
        "identity as a coding, up to the close",
        FRAMING,
        answer=answered("Transfer-Encoding: identity", body=b"hello"),
        closes=True,
        endless=True,
        body=b"hello",
        or_refused=True,
    ),
    Case(
        "identity as a coding, with a length",
        FRAMING,
        answer=answered("Transfer-Encoding: identity", "Content-Length: 5", body=b"hello"),
        closes=True,
        endless=True,
        or_refused=True,
    ),
    Case(
        "chunked, then gzip, up to the close",
        FRAMING,
        answer=answered("Transfer-Encoding: chunked, gzip", body=b"hello"),
        closes=True,
        endless=True,
        or_refused=True,
    ),
    Case(
        "gzip, chunked",
        FRAMING,
        answer=answered("Transfer-Encoding: gzip, chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
        or_refused=True,
        endless=True,
        closes=True,
    ),
    Case(
        "two codings on two lines",
        FRAMING,
        answer=answered("Transfer-Encoding: x", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
        or_refused=True,
        closes=True,
        endless=True,
    ),
    Case(
        "chunked twice",
        FRAMING,
        answer=answered("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
        or_refused=True,
        closes=True,
        endless=True,
    ),
    Case(
        "chunked, upper case",
        FRAMING,
        answer=answered("Transfer-Encoding: Chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
        body=b"hello",
    ),
    bad(
        "both a length and chunks",
        FRAMING,
        answered("Content-Length: 5", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
        or_refused=True,
    ),
    bad(
        "both chunks and a length",
        FRAMING,
        answered("Transfer-Encoding: chunked", "Content-Length: 50", body=b"5\r\nhello\r\n0\r\n\r\n"),
        or_refused=True,
    ),
    bad("two lengths, unequal", FRAMING, answered("Content-Length: 5", "Content-Length: 6", body=b"hello!")),
    bad("two lengths, the second zero", FRAMING, answered("Content-Length: 5", "Content-Length: 0", body=b"hello")),
    bad(
        "two lengths, equal",
        FRAMING,
        answered("Content-Length: 5", "Content-Length: 5", body=b"hello"),
        or_refused=True,
    ),
    *[
        bad(
            f"a length: {name}", FRAMING, answered(f"Content-Length: {value}", body=b"hello"), closes=True, endless=True
        )
        for name, value in FAULTY_LENGTHS.items()
    ],
    broken("a length longer than the body", FRAMING, answered("Content-Length: 50", body=b"hello"), closes=True),
    broken(
        "a length longer than the body, by non-ASCII text",
        FRAMING,
        answered("Content-Length: 6", body=b"caf\xc3\xa9"),
        closes=True,
    ),
    broken("a length and no body, closed", FRAMING, answered("Content-Length: 5"), closes=True),
    broken("a length longer than the body, left open", FRAMING, answered("Content-Length: 50", body=b"hello")),
    Case(
        "a length shorter than the body",
        FRAMING,
        answer=answered("Content-Length: 4", body=b"caf\xc3\xa9"),
        body=b"caf\xc3",
    ),
    Case(
        "a length shorter by one, closed",
        FRAMING,
        answer=answered("Content-Length: 4", body=b"hello"),
        closes=True,
        body=b"hell",
    ),
    Case("a length of zero, and bytes behind", FRAMING, answer=answered("Content-Length: 0", body=b"hello"), body=b""),
    Case(
        "a length, and a line end behind",
        FRAMING,
        answer=answered("Content-Length: 5", body=b"hello\r\n"),
        body=b"hello",
    ),
    Case("a length, and an answer behind", FRAMING, answer=OK + POISON, body=b"hello"),
    Case("a length, and half an answer behind", FRAMING, answer=OK + POISON[:30], body=b"hello"),
    Case("a length, and an interim answer behind", FRAMING, answer=OK + interim(100), body=b"hello"),
    Case("a length, and two answers behind", FRAMING, answer=OK + POISON * 2, body=b"hello"),
    Case(
        "chunks, and an answer behind",
        FRAMING,
        answer=answered("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n") + POISON,
        body=b"hello",
    ),
    Case(
        "chunks, and bytes behind",
        FRAMING,
        answer=answered("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\nhello"),
        body=b"hello",
    ),
    Case(
        "chunks", CHUNKS, answer=answered("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"), body=b"hello"
    ),
    Case("no chunks", CHUNKS, answer=answered("Transfer-Encoding: chunked", body=b"0\r\n\r\n"), body=b""),
    Case(
        "many chunks",
        CHUNKS,
        answer=answered("Transfer-Encoding: chunked", body=b"1\r\nx\r\n" * 40 + b"0\r\n\r\n"),
        body=b"x" * 40,
    ),
    Case(
        "a large chunk",
        CHUNKS,
        answer=answered("Transfer-Encoding: chunked", body=b"10000\r\n" + b"x" * 65_536 + b"\r\n0\r\n\r\n"),
        body=b"x" * 65_536,
    ),
    Case(
        "chunks with extensions",
        CHUNKS,
        answer=answered("Transfer-Encoding: chunked", body=b'5;a="b"\r\nhello\r\n0;c\r\n\r\n'),
        body=b"hello",
        or_refused=True,
    ),
    Case(
        "chunks that hold an answer",
        CHUNKS,
        answer=answered("Transfer-Encoding: chunked", body=b"13\r\nHTTP/1.1 200 OK\r\n\r\n\r\n0\r\n\r\n"),
        body=b"HTTP/1.1 200 OK\r\n\r\n",
    ),
    Case(
        "a trailer",
        TRAILERS,
        answer=answered("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nX-Trailer: evil\r\n\r\n"),
        body=b"hello",
        hides=(b"x-trailer",),
    ),
    *[
        Case(
            f"a trailer that is {name}",
            TRAILERS,
            answer=answered(
                "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n" + name.encode() + b": evil\r\n\r\n"
            ),
            body=b"hello",
            hides=(name.lower().encode() + b": evil",),
            or_refused=True,
        )
        for name in (
            "Set-Cookie",
            "Access-Control-Allow-Origin",
            "Location",
            "Content-Type",
            "Content-Length",
            "Connection",
            "Keep-Alive",
            "Cache-Control",
        )
    ],
    broken("chunks cut within the data", CHUNKS, answered("Transfer-Encoding: chunked", body=b"5\r\nhel"), closes=True),
    broken(
        "chunks cut before the last",
        CHUNKS,
        answered("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),
        closes=True,
    ),
    broken(
        "chunks cut within the last",
        CHUNKS,
        answered("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n"),
        closes=True,
    ),
    broken(
        "chunks cut within a size", CHUNKS, answered("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n1"), closes=True
    ),
    broken(
        "chunks cut within a trailer",
        CHUNKS,
        answered("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nX-A: b"),
        closes=True,
    ),
    broken("chunks that stop", CHUNKS, answered("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n")),
    *[
        broken(f"chunks: {name}", CHUNKS, answered("Transfer-Encoding: chunked", body=wire))
        for name, wire in BROKEN_CHUNKS.items()
    ],
    *bodiless("204", "HTTP/1.1 204 No Content", 204),
    *bodiless("304", "HTTP/1.1 304 Not Modified", 304, 'ETag: "a"'),
    Case(
        "304 keeps its length",
        "RFC 9110 §15.4.5",
        returns=(304,),
        answer=answered("Content-Length: 5", start="HTTP/1.1 304 Not Modified"),
        shows=(b"content-length: 5",),
    ),
    headed("no framing"),
    headed("a length", "Content-Length: 5"),
    headed("chunked", "Transfer-Encoding: chunked"),
    headed("a length and its bytes", "Content-Length: 5", body=b"hello"),
    headed("chunks and their bytes", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
    headed("an answer behind", "Content-Length: 5", body=POISON),
    headed("Connection: close", "Content-Length: 5", "Connection: close"),
    bad("nothing, and the upstream closes", FRAMING, b"", closes=True, endless=True),
]
