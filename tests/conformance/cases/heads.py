"""Header lines of requests: names, values, line ends, sizes."""

from __future__ import annotations

from typing import Final

from tests.conformance.case import Case, refused, request

FIELDS: Final = "RFC 9112 §5"
NAMES: Final = "RFC 9110 §5.1"
VALUES: Final = "RFC 9110 §5.5"
HOST: Final = "RFC 9112 §3.2"
LINE: Final = "RFC 9112 §2.2"
CONTROLS: Final = [*range(1, 9), 11, 12, *range(14, 32), 127]
SEPARATORS: Final = '()<>@,;\\"/[]?={} '
INVALID_HOSTS: Final = {
    "a space": "a b",
    "a slash": "a/b",
    "userinfo": "u@a",
    "a query": "a?b",
    "a fragment": "a#b",
    "two ports": "a:1:2",
    "a port of letters": "a:b",
    "an open bracket": "[::1",
    "a scheme": "http://a",
    "a quote": 'a"b',
    "a backslash": "a\\b",
    "angle brackets": "<a>",
    "a tab": "a\tb",
    "non-ASCII": "\xe4",
    "a percent alone": "a%zz",
    "a caret": "a^b",
    "a brace": "a{b}",
    "a pipe": "a|b",
}
VALID_HOSTS: Final = ("a", "a:80", "a.example", "[::1]", "[::1]:8080", "127.0.0.1:4500", "a-b_c.d", "A.Example", "a.")
FORWARDED: Final = ("X-Forwarded-Proto: https", "X-Forwarded-Host: b", "Forwarded: for=1.2.3.4", "X-Real-IP: 1.2.3.4")

CASES: Final = [
    Case("an ordinary request", FIELDS),
    Case("a header", FIELDS, request("X-A: b"), carries=(b"x-a: b",)),
    Case("a header twice", FIELDS, request("X-A: b", "X-A: c"), carries=(b"x-a: b", b"x-a: c")),
    Case("an empty value", FIELDS, request("X-A:"), carries=(b"x-a:",)),
    Case("spaces around a value", FIELDS, request("X-A:  \t b \t "), carries=(b"x-a: b",)),
    Case("spaces within a value", FIELDS, request("X-A: b  c"), carries=(b"x-a: b  c",)),
    Case("a tab within a value", FIELDS, request("X-A: b\tc"), carries=(b"x-a: b\tc",)),
    Case("bytes above 0x7f in a value", VALUES, request("X-A: \xe4\xff\x80"), carries=(b"x-a: \xe4\xff\x80",)),
    Case("UTF-8 in a value", VALUES, request("X-A: \xc3\xa4"), carries=(b"x-a: \xc3\xa4",)),
    Case("a name of all token characters", NAMES, request("!#$%&'*+-.^_`|9aZ: b"), or_refused=True),
    Case("an underscore in a name", NAMES, request("X_A: b"), carries=(b"x_a: b",)),
    Case("a value of 8,000 bytes", VALUES, request("X-A: " + "b" * 8_000)),
    Case("100 headers", FIELDS, request(*[f"X-{i}: b" for i in range(100)]), carries=(b"x-99: b",)),
    Case("a cookie twice", FIELDS, request("Cookie: a=1", "Cookie: b=2"), carries=(b"cookie: a=1",)),
    Case("an empty line before the request", LINE, b"\r\n" + request()),
    Case("two empty lines before the request", LINE, b"\r\n\r\n" + request(), or_refused=True),
    Case("a LF before the request", LINE, b"\n" + request(), or_refused=True),
    refused("a space before the request", LINE, b" " + request()),
    refused("a NUL before the request", LINE, b"\0" + request()),
    refused("lines that end in LF", LINE, request().replace(b"\r\n", b"\n")),
    refused("one header that ends in LF", LINE, request("X-A: b").replace(b"b\r\n", b"b\n")),
    refused("a request line that ends in LF", LINE, request().replace(b"1.1\r\n", b"1.1\n")),
    refused("an end of head of LF LF", LINE, request()[:-4] + b"\n\n"),
    refused("an end of head of CR LF LF", LINE, request()[:-2] + b"\n"),
    refused("lines that end in CR", LINE, request().replace(b"\r\n", b"\r")),
    refused("a request line that ends in CR", LINE, request().replace(b"1.1\r\n", b"1.1\r")),
    refused("CR CR LF", LINE, request("X-A: b").replace(b"b\r\n", b"b\r\r\n")),
    refused("a bare CR in a value", LINE, request("X-A: b\rc")),
    refused("a bare CR at the start of a value", LINE, request("X-A:\rb")),
    refused("a bare CR in a name", LINE, request("X-\rA: b")),
    refused("a folded value", "RFC 9112 §5.2", request("X-A: b", " c"), or_refused=True),
    refused("a value folded with a tab", "RFC 9112 §5.2", request("X-A: b", "\tc"), or_refused=True),
    refused("a value folded from its start", "RFC 9112 §5.2", request("X-A:", " c"), or_refused=True),
    refused("a folded Host", "RFC 9112 §5.2", request("Host:", " a", host=None)),
    refused("whitespace before the first header", LINE, request(" X-A: b", host=None, start="GET /~ HTTP/1.1")),
    refused("a NUL in a value", VALUES, request("X-A: b\0c")),
    refused("a NUL in a name", NAMES, request("X\0A: b")),
    *[
        refused(f"control {code:#04x} in a value", VALUES, request(f"X-A: b{chr(code)}c"), or_refused=False)
        for code in CONTROLS
    ],
    *[
        refused(f"control {code:#04x} in a name", NAMES, request(f"X{chr(code)}A: b"))
        for code in (1, 9, 11, 12, 27, 127)
    ],
    *[refused(f"{char!r} in a name", NAMES, request(f"X{char}A: b")) for char in SEPARATORS],
    refused("a byte above 0x7f in a name", NAMES, request("X\xe4A: b")),
    refused("a space before the colon", FIELDS, request("X-A : b")),
    refused("a tab before the colon", FIELDS, request("X-A\t: b")),
    refused("no colon", FIELDS, request("X-A")),
    refused("no name", FIELDS, request(": b")),
    refused("a colon alone", FIELDS, request(":")),
    refused("a head over 16 KiB", "RFC 9110 §5.4", request("X-A: " + "b" * 17_000), 431),
    refused("2,000 headers", "RFC 9110 §5.4", request(*["X-A: 0123456789"] * 2_000), 431),
    refused("no Host", HOST, request(host=None)),
    refused("two Hosts, equal", HOST, request("Host: a")),
    refused("two Hosts, unequal", HOST, request("Host: b")),
    refused("two Hosts of two cases", HOST, request("host: b")),
    refused("two Hosts, apart", HOST, request("X-A: b", "Host: b")),
    refused("a Host with a space before its colon", HOST, request("Host : a", host=None)),
    *[refused(f"a Host with {name}", HOST, request(host=host)) for name, host in INVALID_HOSTS.items()],
    *[
        Case(f"a Host of {host}", HOST, request(host=host), carries=(b"host: " + host.encode(),))
        for host in VALID_HOSTS
    ],
    *[
        Case(f"a Host of {host}", HOST, request(host=host), or_refused=True)
        for host in ("a,b", "a:99999", "a;b", "a!b", "a%41")
    ],
    Case("an empty Host", HOST, request(host=""), or_refused=True),
    *[Case(f"a client's {line.split(':')[0]}", "RFC 7239 §5", request(line)) for line in FORWARDED],
    Case("a client's X-Forwarded-For", "RFC 7239 §5", request("X-Forwarded-For: 1.2.3.4")),
]
