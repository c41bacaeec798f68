"""Strategies for changes of a request: other headers, bodies, encodings, paths and methods."""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import brotli  # type: ignore[import-untyped]
from hypothesis import strategies as st

from tests.differential.actions import Action, spelled
from tests.differential.people import OTHER_TOKEN
from tests.differential.tokens import AUTHORISATIONS
from tests.differential.values import Strategy, anything

Change = Callable[[Action], Action]

SCALAR_BODIES: Final = ("null", "true", "false", "0", "-1.5", '"x"', '""')
"""JSON that a strict parser refuses."""
RAW_BODIES: Final = (
    *(
        "",
        "{",
        "{}",
        "[]",
        "null",
        "1",
        '"x"',
        "true",
        " {} ",
        "\t[1]",
        "{} x",
        '{"body":}',
        "{'a':1}",
        "[1,]",
        "nul",
        "\x00",
    ),
    *(
        '{"body":"\\ud800","prompt_name":"\\ud800"}',
        '{"body":1e400}',
        '{"body":-0}',
        '{"__proto__":{"body":"x"},"a":1}',
    ),
    *(
        '{"body":"a","body":"b"}',
        '{"body":"\xff"}',
        '\xef\xbb\xbf{"body":"bom"}',
        "[" * 500 + "]" * 500,
        '{"body":"\t"}',
    ),
    *(
        '{"a":' * 120 + "1" + "}" * 120,
        '{"patient_data":' + '{"a":' * 150 + "1" + "}" * 151,
        '{"body":12345678901234567890}',
    ),
)
TYPES: Final = (
    *(
        None,
        "",
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-16LE",
        "APPLICATION/JSON",
    ),
    *(
        "application/json; charset=latin1",
        "application/json; charset=utf-7",
        "application/json; charset=utf-7-imap",
        "application/json; charset=nonsense",
        "application/json; charset=",
        "text/json",
    ),
    *("application/json; charset=us-ascii", "application/json; charset=utf-32", 'application/json; charset="utf-8"'),
    *(
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/vnd.api+json",
        "application/jsonx",
        "json",
        "*/*",
    ),
    *("application/json, text/plain", "application/json; x", "application/json;;", "multipart/form-data; boundary=x"),
)
ETAGS: Final = (
    *("*", "<etag 0>", "<etag 1>", 'W/"x", <etag 2>', "", '"x"', "<opaque-tag 0>", "<opaque-tag 1>", "<opaque-tag 2>"),
    *('"x",<opaque-tag 0>', "W/<etag 0>", "<etag 0>x", "*, <etag 0>"),
)
_RAW_DEFLATE: Final = zlib.compressobj(wbits=-15)
ENCODINGS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
    "Identity": bytes,
    "br": brotli.compress,
    "compress": bytes,
    "gzip, deflate": bytes,
    "": bytes,
}


def _coded(name: str, sound: bool) -> Change:
    def change(action: Action) -> Action:
        data = (action.body or "").encode("latin-1")
        packed = ENCODINGS[name](data) if sound else data
        return replace(action, body=packed.decode("latin-1")).with_header("content-encoding", name)

    return change


def _retyped(text: str) -> Change:
    """Encode a body in another charset, which its content type declares or not."""

    def change(action: Action) -> Action:
        raw = (action.body or "{}").encode("latin-1").decode("utf-8", "replace")
        return replace(action, body=raw.encode(text, "replace").decode("latin-1"))

    return change


def _header(name: str, values: Strategy[str | None]) -> Strategy[Change]:
    return values.map(lambda value: lambda action: action.with_header(name, value))


def _moved(change: Callable[[str], str]) -> Change:
    return lambda action: replace(action, target=change(action.target) or "/")


def _upper(target: str) -> str:
    path, mark, query = target.partition("?")
    return path.upper() + mark + query if "<" not in path else path


PATH_CHANGES: Final[tuple[Callable[[str], str], ...]] = (
    _upper,
    lambda target: target.replace("?", "/?", 1) if "?" in target else target + "/",
    lambda target: target + "//",
    lambda target: "/" + target,
    lambda target: target.replace("/api/", "/api//", 1),
    lambda target: target.replace("/api/", "/api/../api/", 1),
    lambda target: target.replace("/api/", "/%61pi/", 1),
    lambda target: target + "/more",
    lambda target: target + "%2F",
    lambda target: target + "%zz",
    lambda target: target + "%E0%A4%A",
    lambda target: target + "%00",
    lambda target: target.rpartition("/")[0] or "/",
    lambda target: target + ";x=1",
    lambda target: target + "<b>'\"&",
    lambda target: target + "\xe9",
    lambda target: "http://other.example" + target,
    lambda target: target + "#?x=1",
    lambda target: "//user@host" + target + "#",
    lambda target: "http://other.example;a" + target + "#",
    lambda target: target.replace("/", "\\").replace("\\", "/", 1) + "#",
)
ORIGINS: Final = st.sampled_from(
    [
        *("http://localhost:3000", "http://localhost:3001", "https://scribe-project-nextjs.vercel.app", "null", ""),
        *(
            "https://evil.example",
            "HTTP://LOCALHOST:3000",
            "http://localhost:3000/",
            "http://localhost:3000, x",
            "*",
            "\xe9",
        ),
    ]
)
RARE_HEADERS: Final = (
    *(("range", "bytes=0-3"), ("range", "bytes=9999-"), ("expect", "100-continue"), ("expect", "more")),
    *(
        ("if-modified-since", "Sat, 29 Oct 2044 19:43:31 GMT"),
        ("if-match", "*"),
        ("if-match", '"x"'),
        ("if-range", "x"),
    ),
    *(
        ("if-unmodified-since", "Sat, 29 Oct 1994 19:43:31 GMT"),
        ("x-http-method-override", "DELETE"),
        ("te", "trailers"),
    ),
    *(("accept-encoding", "gzip, br"), ("accept-encoding", "*;q=0"), ("connection", "close"), ("connection", "foo")),
    *(("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "a"), ("host", "a.example")),
    *(("content-length", "99999999999"), ("content-length", "10485761"), ("cookie", "token=x"), ("referer", "\xff")),
    *(("x-requested-with", "XMLHttpRequest"), ("date", "x"), ("via", "1.1 a"), ("accept-language", "de")),
)
SECOND_HEADERS: Final = (
    *(("authorization", f"Bearer {OTHER_TOKEN}"), ("authorization", ""), ("content-type", "text/plain")),
    *(("content-type", "application/json"), ("content-encoding", "identity"), ("content-encoding", "gzip")),
    *(("if-none-match", "*"), ("if-none-match", '"x"'), ("origin", "http://localhost:3001"), ("accept", "text/html")),
    *(("cache-control", "no-cache"), ("expect", "100-continue"), ("x-a", "b"), ("host", "b.example")),
)


def _as_http_1_0(action: Action) -> Action:
    """Send in HTTP/1.0, which has no chunks."""
    return replace(action, version="1.0").with_header("transfer-encoding", None)


def _method(name: str) -> Change:
    return lambda action: replace(action, method=name)


def _twice(header: tuple[str, str]) -> Change:
    """Add a header beside one of the same name."""
    return lambda action: replace(action, headers=(*action.headers, header))


def _preflight(parts: tuple[str, str | None, str | None]) -> Change:
    def change(action: Action) -> Action:
        origin, method, headers = parts
        preflight = replace(action, method="OPTIONS").with_header("origin", origin)
        preflight = preflight.with_header("access-control-request-method", method)
        return preflight.with_header("access-control-request-headers", headers)

    return change


@functools.cache
def _packed(start: bytes) -> bytes:
    return gzip.compress(start + b" " * 10_485_760)


def _bomb(start: bytes) -> Change:
    """Return a small body that inflates to more than ten megabytes of blanks."""

    def change(action: Action) -> Action:
        typed = replace(action, body=_packed(start).decode("latin-1")).with_header("content-type", "application/json")
        return typed.with_header("content-encoding", "gzip")

    return change


CHANGES: Final[Strategy[Change]] = st.one_of(
    _header("authorization", AUTHORISATIONS | st.none()),
    _header("authorization", st.just(f"Bearer {OTHER_TOKEN}")),
    _header("origin", ORIGINS),
    _header("content-type", st.sampled_from(TYPES)),
    _header("if-none-match", st.sampled_from(ETAGS)),
    _header("cache-control", st.sampled_from(["no-cache", "max-age=0"])),
    _header("accept", st.sampled_from(["text/html", "*/*", "application/xml", ""])),
    _header("transfer-encoding", st.just("chunked")),
    _header("access-control-request-headers", st.sampled_from(["x-a, x-b", ""])),
    (st.sampled_from(RAW_BODIES) | st.sampled_from(SCALAR_BODIES)).map(
        lambda text: lambda action: replace(action, body=text)
    ),
    st.just(lambda action: replace(action, body=None)),
    anything.map(lambda value: lambda action: replace(action, body=spelled(value))),
    st.sampled_from(sorted(ENCODINGS)).flatmap(lambda name: st.booleans().map(lambda sound: _coded(name, sound))),
    st.sampled_from(["utf-16", "utf-16-le", "utf-16-be", "latin-1", "utf-8-sig", "utf-32", "utf-7"]).map(_retyped),
    st.sampled_from(PATH_CHANGES).map(_moved),
    st.sampled_from(["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "GET", "POST", "TRACE", "PROPFIND"]).map(_method),
    st.sampled_from(["LINK", "MKCOL", "PURGE", "SEARCH", "REPORT", "LOCK", "COPY", "M-SEARCH", "HEAD"]).map(_method),
    st.just(_as_http_1_0),
    st.sampled_from(RARE_HEADERS).map(lambda pair: lambda action: action.with_header(*pair)),
    st.sampled_from(SECOND_HEADERS).map(_twice),
    st.tuples(ORIGINS, st.sampled_from([None, "PUT", "x", ""]), st.sampled_from([None, "x-a", "", "a\tb, c"])).map(
        _preflight
    ),
    st.sampled_from([b"{}", b'{"body":"x","prompt_name":"y"}']).map(_bomb),
)
