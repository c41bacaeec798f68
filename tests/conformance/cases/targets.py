"""Request lines: methods, targets and versions."""

from __future__ import annotations

from typing import Final

from tests.conformance.case import Case, refused, request

LINE: Final = "RFC 9112 §3"
FORMS: Final = "RFC 9112 §3.2"
VERSIONS: Final = "RFC 9112 §2.3"
METHODS: Final = "RFC 9110 §9.1"
PASSING: Final = (
    "/~?", "/~?a=b", "/~?a=b&a=c", "/~??", "/~?a?b", "//~", "//~//a", "/~/", "/~/.", "/~/../b", "/./~", "/../~",
    "/~%2F", "/~%2f..%2f", "/~%00", "/~%zz", "/~%", "/~;a=b", "/~,", "/~:80", "/~@a", "/~'", "/~!$&()*+=", "/~[1]",
    '/~"', "/~<a>", "/~|", "/~^", "/~`", "/~{a}", "/~\\..", "/~?a=[]", "/~?http://a/", "/~.php", "/~%E4", "/~%C3%A4",
)  # fmt: skip
KNOWN_METHODS: Final = (
    "GET",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "PROPFIND",
    "REPORT",
    "PURGE",
    "MKCOL",
    "SEARCH",
    "LOCK",
    "LINK",
    "SOURCE",
)
UNKNOWN_METHODS: Final = (
    "get",
    "Get",
    "post",
    "GETT",
    "GE",
    "FOO",
    "FOOBARBAZ",
    "G-T",
    "PRI",
    "TRACK",
    "DEBUG",
    "X",
    "GET\0",
    "G\tT",
    "(GET)",
    "GET,",
    "\xc4",
)
LINES: Final = {
    "a tab before the target": "GET\t/~ HTTP/1.1",
    "a tab behind the target": "GET /~\tHTTP/1.1",
    "a space at the end": "GET /~ HTTP/1.1 ",
    "a space in the target": "GET /~ b HTTP/1.1",
    "no target": "GET HTTP/1.1 /~",
    "a target without a slash": "GET ~ HTTP/1.1",
    "a NUL in the target": "GET /~\0 HTTP/1.1",
    "a CR in the target": "GET /~\rb HTTP/1.1",
    "a control in the target": "GET /~\x01 HTTP/1.1",
    "DEL in the target": "GET /~\x7f HTTP/1.1",
    "a vertical tab for a space": "GET\x0b/~ HTTP/1.1",
    "a form feed for a space": "GET /~\x0cHTTP/1.1",
    "a query without a path": "GET ?~ HTTP/1.1",
    "a backslash for a path": "GET \\~ HTTP/1.1",
}
SPACED: Final = {"two spaces before the target": "GET  /~ HTTP/1.1", "two spaces behind the target": "GET /~  HTTP/1.1"}
INVALID_VERSIONS: Final = {
    "HTTP/2": "HTTP/2",
    "HTTP/3.0": "HTTP/3.0",
    "HTTP/0.0": "HTTP/0.0",
    "HTTP/9.9": "HTTP/9.9",
    "HTTP/1": "HTTP/1",
    "HTTP/1.": "HTTP/1.",
    "HTTP/.1": "HTTP/.1",
    "HTTP/11": "HTTP/11",
    "HTTP/1.10": "HTTP/1.10",
    "HTTP/01.1": "HTTP/01.1",
    "HTTP/1.01": "HTTP/1.01",
    "http/1.1": "http/1.1",
    "Http/1.1": "Http/1.1",
    "HTTP 1.1": "HTTP 1.1",
    "HTTP/1,1": "HTTP/1,1",
    "HTTP/-1.1": "HTTP/-1.1",
    "HTTP/+1.1": "HTTP/+1.1",
    "HTTPS/1.1": "HTTPS/1.1",
    "XTTP/1.1": "XTTP/1.1",
    "ICE/1.0": "ICE/1.0",
    "RTSP/1.0": "RTSP/1.0",
    "HTTP/1.1x": "HTTP/1.1x",
    "HTTP/1.x": "HTTP/1.x",
}


def line(start: str, *lines: str, host: str | None = "a") -> bytes:
    """Return a request of a start line."""
    return request(*lines, start=start, host=host)


CASES: Final = [
    *[
        Case(
            f"the target {target}",
            FORMS,
            line(f"GET {target} HTTP/1.1"),
            (f"GET {target}".encode(),),
            or_refused=any(c in target for c in '"<>|^`{}\\%[]'),
        )
        for target in PASSING
    ],
    *[
        Case(
            f"the method {method}",
            METHODS,
            line(f"{method} /~ HTTP/1.1", "Content-Length: 0"),
            (f"{method} /~".encode(),),
            or_refused=method not in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"),
        )
        for method in KNOWN_METHODS
    ],
    *[refused(f"the method {method!r}", METHODS, line(f"{method} /~ HTTP/1.1")) for method in UNKNOWN_METHODS],
    Case("HEAD", "RFC 9110 §9.3.2", line("HEAD /~ HTTP/1.1"), (b"HEAD /~",)),
    Case("TRACE", "RFC 9110 §9.3.8", line("TRACE /~ HTTP/1.1"), (b"TRACE /~",), or_refused=True),
    refused("CONNECT", "RFC 9110 §9.3.6", line("CONNECT a:443 HTTP/1.1", "X-Case: ~"), 405),
    refused("CONNECT with a path", "RFC 9110 §9.3.6", line("CONNECT /~ HTTP/1.1"), 405),
    refused(
        "CONNECT with a length",
        "RFC 9110 §9.3.6",
        line("CONNECT a:443 HTTP/1.1", "X-Case: ~", "Content-Length: 0"),
        405,
    ),
    Case("OPTIONS *", FORMS, line("OPTIONS * HTTP/1.1", "X-Case: ~"), (b"OPTIONS *",), or_refused=True),
    Case("GET *", FORMS, line("GET * HTTP/1.1", "X-Case: ~"), (b"GET *",), or_refused=True),
    Case("an asterisk and more", FORMS, line("OPTIONS *~ HTTP/1.1"), (b"OPTIONS *~",), or_refused=True),
    Case(
        "an absolute target",
        FORMS,
        line("GET http://a/~ HTTP/1.1"),
        (b"GET /~",),
        carries=(b"host: a",),
        or_reaches=(b"GET http://a/~",),
    ),
    Case(
        "an absolute target without a path",
        FORMS,
        line("GET http://a HTTP/1.1", "X-Case: ~"),
        (b"GET /",),
        carries=(b"host: a",),
        or_reaches=(b"GET http://a",),
    ),
    Case(
        "an absolute target with a query alone",
        FORMS,
        line("GET http://a?~ HTTP/1.1"),
        (b"GET /?~",),
        carries=(b"host: a",),
        or_refused=True,
        or_reaches=(b"GET http://a?~",),
    ),
    Case(
        "an absolute target with a port",
        FORMS,
        line("GET http://a:81/~ HTTP/1.1", host="a:81"),
        (b"GET /~",),
        carries=(b"host: a:81",),
        or_reaches=(b"GET http://a:81/~",),
    ),
    Case(
        "an absolute target of another authority",
        "RFC 9112 §3.2.2",
        line("GET http://b/~ HTTP/1.1"),
        (b"GET /~",),
        carries=(b"host: b",),
        drops=(b"host: a",),
        or_reaches=(b"GET http://b/~",),
    ),
    Case(
        "an absolute target of another port",
        "RFC 9112 §3.2.2",
        line("GET http://a:81/~ HTTP/1.1"),
        (b"GET /~",),
        carries=(b"host: a:81",),
        or_reaches=(b"GET http://a:81/~",),
    ),
    Case(
        "an absolute target, upper case",
        FORMS,
        line("GET HTTP://a/~ HTTP/1.1"),
        (b"GET /~",),
        carries=(b"host: a",),
        or_refused=True,
        or_reaches=(b"GET HTTP://a/~",),
    ),
    Case(
        "an absolute target of https",
        FORMS,
        line("GET https://a/~ HTTP/1.1"),
        (b"GET /~",),
        carries=(b"host: a",),
        or_refused=True,
        or_reaches=(b"GET https://a/~",),
    ),
    refused("an absolute target without Host", FORMS, line("GET http://a/~ HTTP/1.1", host=None)),
    refused("an absolute target and two Hosts", FORMS, line("GET http://a/~ HTTP/1.1", "Host: a")),
    refused("an absolute target with userinfo", "RFC 9110 §4.2.4", line("GET http://u@a/~ HTTP/1.1"), or_refused=True),
    refused("an absolute target without an authority", FORMS, line("GET http:///~ HTTP/1.1")),
    Case(
        "an absolute target of another scheme",
        FORMS,
        line("GET ftp://a/~ HTTP/1.1"),
        or_refused=True,
        or_reaches=(b"GET ftp://a/~",),
    ),
    refused("an absolute target of an invalid authority", FORMS, line("GET http://a:b/~ HTTP/1.1")),
    refused("an authority for a target", FORMS, line("GET a:80 HTTP/1.1", "X-Case: ~")),
    Case("a fragment", FORMS, line("GET /~#b HTTP/1.1"), (b"GET /~#b",), or_refused=True),
    Case(
        "a byte above 0x7f in the target",
        FORMS,
        line("GET /~\xe4 HTTP/1.1"),
        ("GET /~\xe4".encode("latin-1"),),
        or_refused=True,
    ),
    *[Case(name, LINE, line(start), or_refused=True) for name, start in SPACED.items()],
    *[refused(name, LINE, line(start)) for name, start in LINES.items()],
    *[refused(f"version {name}", VERSIONS, line(f"GET /~ {version}")) for name, version in INVALID_VERSIONS.items()],
    *[refused(f"version {name}", VERSIONS, line(f"GET /~ {name}"), 505) for name in ("HTTP/0.9", "HTTP/2.0")],
    *[Case(f"version HTTP/1.{minor}", VERSIONS, line(f"GET /~ HTTP/1.{minor}"), or_refused=True) for minor in (2, 9)],
    Case("HTTP/0.9", VERSIONS, b"GET /~\r\n\r\n", or_refused=True),
    Case("HTTP/0.9 with headers", VERSIONS, b"GET /~\r\nHost: a\r\n\r\n", or_refused=True),
    refused("the preface of HTTP/2", "RFC 9113 §3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n~"),
    refused("a TLS hello", LINE, b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03~\r\n\r\n"),
    refused("an answer for a request", LINE, b"HTTP/1.1 200 OK\r\nX-Case: ~\r\n\r\n"),
    refused("a target of 17,000 bytes", "RFC 9112 §3", line("GET /~" + "b" * 17_000 + " HTTP/1.1"), 431),
    Case(
        "a target of 8,000 bytes",
        "RFC 9112 §3",
        line("GET /~" + "b" * 8_000 + " HTTP/1.1"),
        (b"GET /~" + b"b" * 8_000,),
    ),
    Case(
        "a target of 16,300 bytes",
        "RFC 9112 §3",
        line("GET /~" + "b" * 16_290 + " HTTP/1.1"),
        (b"GET /~" + b"b" * 16_290,),
    ),
    refused("a method of 20,000 bytes", METHODS, line("G" * 20_000 + " /~ HTTP/1.1")),
]
