"""Content-Length and Transfer-Encoding of requests: the body of a request, and the start of the next one."""

from __future__ import annotations

from typing import Final

from tests.conformance.case import GET, SMUGGLED, Case, post, refused, request

LENGTH: Final = "RFC 9112 §6.3"
CODING: Final = "RFC 9112 §6.1"
EMPTY: Final = b"0\r\n\r\n"
CHUNKED: Final = b"5\r\nhello\r\n0\r\n\r\n"
REACHES_HELLO: Final = (b"POST /~ hello",)
INVALID_LENGTHS: Final = {
    "plus sign": "+5",
    "minus sign": "-5",
    "minus zero": "-0",
    "hexadecimal": "0x5",
    "letters": "five",
    "decimal point": "5.0",
    "exponent": "5e0",
    "inner space": "1 5",
    "inner tab": "1\t5",
    "trailing letter": "5a",
    "leading letter": "a5",
    "underscore": "1_0",
    "quoted": '"5"',
    "semicolon": "5;",
    "comma list, equal": "5, 5",
    "comma list, unequal": "5, 6",
    "comma list, no space": "5,5",
    "comma at the end": "5,",
    "comma at the start": ",5",
    "empty": "",
    "spaces only": "   ",
    "over 64 bits": "18446744073709551621",
    "far over 64 bits": "9" * 60,
    "non-ASCII digit": "\xb2",
    "non-ASCII space": "\xa05",
    "NUL": "5\0",
    "vertical tab": "\x0b5",
    "form feed": "5\x0c",
    "percent": "%35",
    "octal prefix": "0o5",
}
CODINGS: Final = {
    "chunked twice": "chunked, chunked",
    "chunked, then identity": "chunked, identity",
    "chunked, then gzip": "chunked, gzip",
    "identity": "identity",
    "gzip alone": "gzip",
    "unknown alone": "x",
    "empty": "",
    "quoted": '"chunked"',
    "single-quoted": "'chunked'",
    "prefixed": "xchunked",
    "suffixed": "chunkedx",
    "hyphenated": "chunked-x",
    "inner space": "chunk ed",
    "trailing semicolon": "chunked;",
    "with a parameter": "chunked;q=1",
    "non-ASCII space before": "\xa0chunked",
    "NUL at the end": "chunked\0",
    "vertical tab before": "\x0bchunked",
    "form feed after": "chunked\x0c",
    "bracketed": "[chunked]",
    "percent-encoded": "%63hunked",
    "equals sign": "chunked=",
    "slash": "x/chunked",
}
HEADER_NAMES: Final = {
    "space before the colon": "Transfer-Encoding : chunked",
    "tab before the colon": "Transfer-Encoding\t: chunked",
    "NUL in the name": "Transfer-Encoding\0: chunked",
    "vertical tab before the colon": "Transfer-Encoding\x0b: chunked",
    "non-ASCII in the name": "Transfer-Encoding\xa0: chunked",
    "no colon": "Transfer-Encoding chunked",
    "leading colon": ":Transfer-Encoding: chunked",
}
LOOKALIKES: Final = {
    "underscore in the name": "Transfer_Encoding: chunked",
    "prefix in the name": "X-Transfer-Encoding: chunked",
    "suffix in the name": "Transfer-Encoding-X: chunked",
    "dotted name": "Transfer.Encoding: chunked",
}

CASES: Final = [
    Case("a length", LENGTH, post("Content-Length: 5", body=b"hello"), REACHES_HELLO),
    Case("a length of zero", LENGTH, post("Content-Length: 0"), (b"POST /~",)),
    Case("no length, no coding", LENGTH, post(), (b"POST /~",)),
    Case("a GET with a body", LENGTH, request("Content-Length: 5", body=b"hello"), (b"GET /~ hello",)),
    Case("a GET of length zero", LENGTH, request("Content-Length: 0")),
    Case(
        "a HEAD with a body",
        LENGTH,
        request("Content-Length: 2", start="HEAD /~ HTTP/1.1", body=b"hi"),
        (b"HEAD /~ hi",),
    ),
    Case(
        "a DELETE with a body",
        LENGTH,
        request("Content-Length: 2", start="DELETE /~ HTTP/1.1", body=b"hi"),
        (b"DELETE /~ hi",),
    ),
    Case(
        "a length with leading zeros",
        LENGTH,
        post("Content-Length: 0005", body=b"hello"),
        REACHES_HELLO,
        or_refused=True,
    ),
    Case("a length with spaces around", LENGTH, post("Content-Length:   5  ", body=b"hello"), REACHES_HELLO),
    Case("a length with a tab before", LENGTH, post("Content-Length:\t5", body=b"hello"), REACHES_HELLO),
    Case(
        "a length with a tab behind", LENGTH, post("Content-Length: 5\t", body=b"hello"), REACHES_HELLO, or_refused=True
    ),
    Case("a length without a space", LENGTH, post("Content-Length:5", body=b"hello"), REACHES_HELLO),
    Case("a lower-case name", LENGTH, post("content-length: 5", body=b"hello"), REACHES_HELLO),
    Case("an upper-case name", LENGTH, post("CONTENT-LENGTH: 5", body=b"hello"), REACHES_HELLO),
    Case(
        "a body that is a request",
        LENGTH,
        post(f"Content-Length: {len(SMUGGLED) + 8}", body=SMUGGLED),
        reaches=(b"POST /~ " + SMUGGLED,),
    ),
    Case("a body of NULs", LENGTH, post("Content-Length: 5", body=b"\0\0\0\0\0"), (b"POST /~ \0\0\0\0\0",)),
    Case("a body of line ends", LENGTH, post("Content-Length: 4", body=b"\r\n\r\n"), (b"POST /~ \r\n\r\n",)),
    Case(
        "a body of 70,000 bytes",
        LENGTH,
        post("Content-Length: 70000", body=b"x" * 70_000),
        (b"POST /~ " + b"x" * 70_000,),
    ),
    Case("chunked", CODING, post("Transfer-Encoding: chunked", body=CHUNKED), REACHES_HELLO),
    Case("chunked and empty", CODING, post("Transfer-Encoding: chunked", body=EMPTY), (b"POST /~",)),
    Case("chunked, upper case", CODING, post("Transfer-Encoding: CHUNKED", body=CHUNKED), REACHES_HELLO),
    Case("chunked, mixed case", CODING, post("Transfer-Encoding: cHuNkEd", body=CHUNKED), REACHES_HELLO),
    Case("chunked, a lower-case name", CODING, post("transfer-encoding: chunked", body=CHUNKED), REACHES_HELLO),
    Case("chunked without a space", CODING, post("Transfer-Encoding:chunked", body=CHUNKED), REACHES_HELLO),
    Case(
        "chunked with a tab before",
        CODING,
        post("Transfer-Encoding:\tchunked", body=CHUNKED),
        REACHES_HELLO,
        or_refused=True,
    ),
    Case(
        "chunked with spaces behind",
        CODING,
        post("Transfer-Encoding: chunked  ", body=CHUNKED),
        REACHES_HELLO,
        or_refused=True,
    ),
    Case(
        "chunked with a tab behind",
        CODING,
        post("Transfer-Encoding: chunked\t", body=CHUNKED),
        REACHES_HELLO,
        or_refused=True,
    ),
    Case(
        "gzip, chunked", CODING, post("Transfer-Encoding: gzip, chunked", body=CHUNKED), REACHES_HELLO, or_refused=True
    ),
    Case("a GET with chunks", CODING, request("Transfer-Encoding: chunked", body=CHUNKED), (b"GET /~ hello",)),
    refused(
        "CL.TE: length covers the chunks",
        CODING,
        post("Content-Length: 49", "Transfer-Encoding: chunked", body=EMPTY + SMUGGLED),
    ),
    refused(
        "CL.TE: length covers one byte behind",
        CODING,
        post("Content-Length: 6", "Transfer-Encoding: chunked", body=EMPTY + b"G"),
    ),
    refused("CL.TE: coding first", CODING, post("Transfer-Encoding: chunked", "Content-Length: 6", body=EMPTY + b"G")),
    refused(
        "TE.CL: length covers the size line",
        CODING,
        post("Content-Length: 4", "Transfer-Encoding: chunked", body=b"2e\r\n" + SMUGGLED + b"\r\n0\r\n\r\n"),
    ),
    refused(
        "TE.CL: length is zero", CODING, post("Content-Length: 0", "Transfer-Encoding: chunked", body=EMPTY + SMUGGLED)
    ),
    refused(
        "a coding beside a correct length",
        CODING,
        post("Content-Length: 15", "Transfer-Encoding: chunked", body=CHUNKED),
    ),
    refused(
        "TE.TE: two lines, the second unknown",
        CODING,
        post("Transfer-Encoding: chunked", "Transfer-Encoding: x", body=EMPTY + SMUGGLED),
    ),
    refused(
        "TE.TE: two lines, the second identity",
        CODING,
        post("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=EMPTY + SMUGGLED),
    ),
    Case(
        "TE.TE: two lines, the first unknown",
        CODING,
        post("Transfer-Encoding: x", "Transfer-Encoding: chunked", body=CHUNKED),
        REACHES_HELLO,
        or_refused=True,
    ),
    refused(
        "TE.TE: two lines, both chunked",
        CODING,
        post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=CHUNKED),
    ),
    refused(
        "TE.TE: an unknown coding and a length",
        CODING,
        post("Transfer-Encoding: x", "Content-Length: 5", body=b"hello"),
    ),
    refused(
        "TE.TE: identity and a length", CODING, post("Transfer-Encoding: identity", "Content-Length: 5", body=b"hello")
    ),
    refused("two lengths, equal", LENGTH, post("Content-Length: 5", "Content-Length: 5", body=b"hello")),
    refused("two lengths, unequal", LENGTH, post("Content-Length: 5", "Content-Length: 6", body=b"hello!")),
    refused("two lengths, the first zero", LENGTH, post("Content-Length: 0", "Content-Length: 44", body=SMUGGLED)),
    refused("two lengths, the second zero", LENGTH, post("Content-Length: 44", "Content-Length: 0", body=SMUGGLED)),
    refused("two lengths of two cases", LENGTH, post("Content-Length: 0", "content-length: 5", body=b"hello")),
    refused(
        "three lengths", LENGTH, post("Content-Length: 5", "Content-Length: 5", "Content-Length: 5", body=b"hello")
    ),
    refused("a GET with two lengths", LENGTH, request("Content-Length: 0", "Content-Length: 44", body=SMUGGLED)),
    *[
        refused(f"a length: {name}", LENGTH, post(f"Content-Length: {value}", body=b"hello"))
        for name, value in INVALID_LENGTHS.items()
    ],
    *[
        refused(f"TE.TE: {name}", CODING, post(f"Transfer-Encoding: {value}", body=EMPTY + SMUGGLED))
        for name, value in CODINGS.items()
    ],
    *[
        refused(f"TE.CL: {name}, beside a length", CODING, post(line, "Content-Length: 5", body=EMPTY))
        for name, line in HEADER_NAMES.items()
    ],
    *[
        refused(
            f"a length: {name}",
            LENGTH,
            post(line.replace("Transfer-Encoding", "Content-Length").replace("chunked", "44"), body=SMUGGLED),
        )
        for name, line in HEADER_NAMES.items()
    ],
    *[
        Case(
            f"TE lookalike: {name}",
            CODING,
            post(line, "Content-Length: 5", body=b"hello"),
            REACHES_HELLO,
            or_refused=True,
        )
        for name, line in LOOKALIKES.items()
    ],
    refused("a folded coding", "RFC 9112 §5.2", post("Transfer-Encoding:", " chunked", body=EMPTY + SMUGGLED)),
    refused(
        "a coding folded into another header",
        "RFC 9112 §5.2",
        post("X-A: b", " Transfer-Encoding: chunked", body=SMUGGLED),
        or_refused=True,
    ),
    refused(
        "a coding behind a bare CR", "RFC 9112 §2.2", post("X-A: b\rTransfer-Encoding: chunked", body=EMPTY + SMUGGLED)
    ),
    refused(
        "a coding behind a bare LF",
        "RFC 9112 §2.2",
        post("X-A: b\nTransfer-Encoding: chunked", "Content-Length: 5", body=EMPTY),
    ),
    refused("a length behind a bare CR", "RFC 9112 §2.2", post("X-A: b\rContent-Length: 44", body=SMUGGLED)),
    Case(
        "a coding in HTTP/1.0",
        CODING,
        request("Transfer-Encoding: chunked", start="POST /~ HTTP/1.0", body=EMPTY),
        reaches=(b"POST /~",),
        or_refused=True,
    ),
    refused(
        "a coding and a length in HTTP/1.0",
        CODING,
        request("Transfer-Encoding: chunked", "Content-Length: 5", start="POST /~ HTTP/1.0", body=EMPTY),
    ),
    Case(
        "a length shorter than the body",
        LENGTH,
        post("Content-Length: 3", body=b"hello"),
        (b"POST /~ hel",),
        unfinished=True,
    ),
    Case(
        "a length longer than the body",
        LENGTH,
        post("Content-Length: 50", body=b"hello"),
        reaches=(),
        returns=(408,),
        unfinished=True,
    ),
    Case(
        "a length, and the client half-closes early",
        LENGTH,
        post("Content-Length: 50", body=b"hello"),
        reaches=(),
        returns=(400,),
        unfinished=True,
        half_closes=True,
        or_refused=True,
    ),
    Case(
        "a length, and the client leaves early",
        LENGTH,
        post("Content-Length: 50", body=b"hello"),
        reaches=(),
        returns=(),
        unfinished=True,
        leaves=True,
    ),
    Case(
        "chunks that stop",
        CODING,
        post("Transfer-Encoding: chunked", body=b"5\r\nhel"),
        reaches=(),
        returns=(408,),
        unfinished=True,
    ),
    Case(
        "chunks, and the client half-closes early",
        CODING,
        post("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),
        reaches=(),
        returns=(400,),
        unfinished=True,
        half_closes=True,
        or_refused=True,
    ),
    Case(
        "chunks, and the client leaves early",
        CODING,
        post("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),
        reaches=(),
        returns=(),
        unfinished=True,
        leaves=True,
    ),
    Case("a GET with a hidden request behind", LENGTH, GET + SMUGGLED, (b"GET /~", b"GET /smuggled-~"), (200, 200)),
]
