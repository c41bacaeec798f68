"""Chunked request bodies: sizes, extensions, line ends and trailers."""

from __future__ import annotations

from typing import Final

from tests.conformance.case import SMUGGLED, Case, post, refused

CHUNKS: Final = "RFC 9112 §7.1"
EXTENSIONS: Final = "RFC 9112 §7.1.1"
TRAILERS: Final = "RFC 9110 §6.5.1"
END: Final = b"0\r\n\r\n"


def chunked(body: bytes, *lines: str) -> bytes:
    """Return a POST with a chunked body as it stands on the wire."""
    return post("Transfer-Encoding: chunked", *lines, body=body)


VALID: Final = {
    "one byte": (b"1\r\nx\r\n", b"x"),
    "two chunks": (b"2\r\nab\r\n3\r\ncde\r\n", b"abcde"),
    "many chunks": (b"1\r\nx\r\n" * 40, b"x" * 40),
    "a lower-case size": (b"a\r\n0123456789\r\n", b"0123456789"),
    "an upper-case size": (b"A\r\n0123456789\r\n", b"0123456789"),
    "leading zeros": (b"0005\r\nhello\r\n", b"hello"),
    "line ends in the data": (b"6\r\n\r\n0\r\n\r\r\n", b"\r\n0\r\n\r"),
    "an end that is data": (b"5\r\n0\r\n\r\n\r\n", b"0\r\n\r\n"),
    "a hidden request in the data": (
        b"2e\r\n" + SMUGGLED.replace(b"~", b"0000000") + b"...\r\n",
        SMUGGLED.replace(b"~", b"0000000") + b"...",
    ),
    "a large chunk": (b"10000\r\n" + b"x" * 65_536 + b"\r\n", b"x" * 65_536),
}
EXTENDED: Final = {
    "a name": b";a",
    "a value": b";a=b",
    "a quoted value": b';a="b c"',
    "two": b";a=b;c=d",
    "spaces around": b" ; a = b",
    "no name": b";",
    "a hidden size": b';a="5"',
}
INVALID: Final = {
    "a size over 64 bits": b"10000000000000005\r\nhello\r\n",
    "a size far over 64 bits": b"f" * 40 + b"\r\nhello\r\n",
    "a negative size": b"-5\r\nhello\r\n",
    "a signed size": b"+5\r\nhello\r\n",
    "a prefixed size": b"0x5\r\nhello\r\n",
    "an underscore in the size": b"0_5\r\nhello\r\n",
    "no size": b"\r\nhello\r\n",
    "a size of letters": b"g\r\nhello\r\n",
    "a space before the size": b" 5\r\nhello\r\n",
    "a tab behind the size": b"5\t\r\nhello\r\n",
    "a comma in the size": b"5,5\r\nhello\r\n",
    "a NUL behind the size": b"5\0\r\nhello\r\n",
    "a size line that ends in LF": b"5\nhello\r\n",
    "a size line that ends in CR": b"5\rhello\r\n",
    "data that ends in LF": b"5\r\nhello\n",
    "data that ends in CR": b"5\r\nhello\r",
    "data without an end": b"5\r\nhello",
    "data longer than its size": b"3\r\nhello\r\n",
    "data shorter than its size": b"8\r\nhello\r\n",
    "two bytes for a line end": b"5\r\nhelloXX",
    "CR CR LF behind the size": b"5\r\r\nhello\r\n",
    "LF CR behind the size": b"5\n\rhello\r\n",
    "a quoted size": b'"5"\r\nhello\r\n',
}
INVALID_EXTENSIONS: Final = {
    "a bare LF": b";a\nhello\r\n",
    "a bare CR": b";a\rb\r\nhello\r\n",
    "a NUL": b";a\0\r\nhello\r\n",
    "a quoted line end": b';a="\r\n"\r\nhello\r\n',
    "a hidden chunk behind LF": b";\n5\r\nhello\r\n",
}
FORBIDDEN: Final = (
    "Content-Length: 44",
    "Transfer-Encoding: chunked",
    "Host: evil",
    "Authorization: evil",
    "X-Forwarded-For: evil",
    "Cookie: evil",
    "Content-Type: evil/evil",
    "Connection: evil",
    "Expect: 100-continue",
    "Trailer: evil",
    "Upgrade: evil",
    "TE: evil",
    "Cache-Control: evil",
    "X-Scribe-Native: evil",
    "X-Request-Id: evil",
    "Set-Cookie: evil",
    "Content-Encoding: evil",
    "Range: evil",
)

CASES: Final = [
    *[
        Case(f"chunks: {name}", CHUNKS, chunked(wire + END), (b"POST /~ " + body,))
        for name, (wire, body) in VALID.items()
    ],
    *[
        Case(
            f"an extension: {name}",
            EXTENSIONS,
            chunked(b"5" + ext + b"\r\nhello\r\n" + END),
            (b"POST /~ hello",),
            or_refused=True,
        )
        for name, ext in EXTENDED.items()
    ],
    Case("an extension of the last chunk", EXTENSIONS, chunked(b"5\r\nhello\r\n0;a=b\r\n\r\n"), (b"POST /~ hello",)),
    Case(
        "an extension of 4,000 bytes",
        EXTENSIONS,
        chunked(b"5;" + b"a" * 4_000 + b"\r\nhello\r\n" + END),
        (b"POST /~ hello",),
        or_refused=True,
    ),
    refused("an extension of 20,000 bytes", EXTENSIONS, chunked(b"5;" + b"a" * 20_000 + b"\r\nhello\r\n" + END), 413),
    *[refused(f"chunks: {name}", CHUNKS, chunked(wire + END + SMUGGLED)) for name, wire in INVALID.items()],
    *[
        refused(f"an extension: {name}", EXTENSIONS, chunked(b"5" + wire + END + SMUGGLED))
        for name, wire in INVALID_EXTENSIONS.items()
    ],
    refused(
        "a size of all ones", CHUNKS, chunked(b"ffffffffffffffff\r\nhello\r\n"), 408, unfinished=True, or_refused=True
    ),
    refused("a last chunk that ends in LF", CHUNKS, chunked(b"5\r\nhello\r\n0\n\n" + SMUGGLED)),
    refused("a last chunk that ends in CR", CHUNKS, chunked(b"5\r\nhello\r\n0\r\r" + SMUGGLED)),
    Case("a last chunk of many zeros", CHUNKS, chunked(b"5\r\nhello\r\n000\r\n\r\n"), (b"POST /~ hello",)),
    Case(
        "a trailer",
        TRAILERS,
        chunked(b"5\r\nhello\r\n0\r\nX-Trailer: evil\r\n\r\n"),
        (b"POST /~ hello",),
        drops=(b"x-trailer",),
    ),
    Case(
        "a trailer, announced",
        TRAILERS,
        chunked(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", "Trailer: X-Sum"),
        (b"POST /~ hello",),
        drops=(b"x-sum", b"trailer"),
    ),
    Case(
        "a trailer behind an empty body",
        TRAILERS,
        chunked(b"0\r\nX-Trailer: evil\r\n\r\n"),
        (b"POST /~",),
        drops=(b"x-trailer",),
    ),
    Case(
        "two trailers", TRAILERS, chunked(b"0\r\nX-A: evil\r\nX-B: evil\r\n\r\n"), (b"POST /~",), drops=(b"x-a", b"x-b")
    ),
    *[
        Case(
            f"a trailer that is {line.split(':')[0]}",
            TRAILERS,
            chunked(b"5\r\nhello\r\n0\r\n" + line.encode() + b"\r\n\r\n"),
            (b"POST /~ hello",),
            drops=(line.lower().encode(), f"{line.split(':')[0].lower()}: evil".encode()),
            or_refused=True,
        )
        for line in FORBIDDEN
    ],
    refused("a trailer with a space before its colon", TRAILERS, chunked(b"0\r\nX-A : b\r\n\r\n")),
    refused("a trailer without a colon", TRAILERS, chunked(b"0\r\nX-A\r\n\r\n")),
    refused("a trailer with a NUL", TRAILERS, chunked(b"0\r\nX-A: \0\r\n\r\n")),
    refused("trailers of 20,000 bytes", TRAILERS, chunked(b"0\r\n" + b"X-A: " + b"b" * 20_000 + b"\r\n\r\n"), 431),
    refused("trailers of 2,000 lines", TRAILERS, chunked(b"0\r\n" + b"X-A: 0123456789\r\n" * 2_000 + b"\r\n"), 431),
]
