"""A grammar of requests and answers, valid and mutated, as Hypothesis strategies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from hypothesis import strategies as st

from tests.conformance.case import SMUGGLED, Case, answered, request

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
TOKEN: Final = st.text("abcdefgXYZ-_0129", min_size=1, max_size=8)
VALUE: Final = st.text('abc ,;="/()\t\xe4:', max_size=12).map(str.strip)
BODY: Final = st.one_of(st.binary(max_size=40), st.sampled_from([b"0\r\n\r\n", SMUGGLED]))
FRAGMENTS: Final = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b":", b",", b";", b"0", b"chunked", b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: x\r\n", b"Connection: close\r\n", b"Host: b\r\n",
        b"Upgrade: x\r\nConnection: Upgrade\r\n", b"Expect: 100-continue\r\n", b"0\r\n\r\n", b"HTTP/1.0",
        b"5\r\nhello\r\n",         SMUGGLED, b"\xff", b"Connection: content-length\r\n",
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of some bytes: `length` of them, at the share `at` of the whole, are replaced by `fragment`."""

    at: float
    length: int
    fragment: bytes

    def apply(self, data: bytes) -> bytes:
        """Return the changed bytes."""
        start = int(len(data) * self.at)
        return data[:start] + self.fragment + data[start + self.length :]


EDITS: Final = st.lists(
    st.builds(Edit, st.floats(0, 1), st.integers(0, 6), st.one_of(FRAGMENTS, st.binary(max_size=3))),
    min_size=1,
    max_size=3,
)
NEUTRAL: Final = ("X-A", "X-B", "Accept", "Cookie", "TE", "Upgrade", "User-Agent", "Cache-Control")


@st.composite
def headers(draw: st.DrawFn) -> list[str]:
    """Return header lines that frame nothing."""
    names = st.one_of(st.sampled_from(NEUTRAL), TOKEN.map(lambda name: f"X-{name}"))
    return [f"{name}: {value}" for name, value in draw(st.lists(st.tuples(names, VALUE), max_size=4))]


def chunk(body: bytes, sizes: list[int], extension: str) -> bytes:
    """Return a body in chunks of the given sizes, the last of which takes the rest."""
    wire, rest = b"", body
    for size in [*sizes, len(body)]:
        part, rest = rest[:size], rest[size:]
        if part:
            wire += b"%x%b\r\n%b\r\n" % (len(part), extension.encode(), part)
    return wire + b"0\r\n\r\n"


@st.composite
def framed(draw: st.DrawFn) -> tuple[list[str], bytes, bytes]:
    """Return the lines that frame a body, the bytes on the wire, and the body."""
    body = draw(BODY).replace(b"~", b"-")
    if draw(st.booleans()):
        return [f"Content-Length: {len(body)}"], body, body
    extension = draw(st.sampled_from(["", "", ";a", ";a=b"]))
    sizes = draw(st.lists(st.integers(1, 9), max_size=3))
    return ["Transfer-Encoding: chunked"], chunk(body, sizes, extension), body


@st.composite
def valid_requests(draw: st.DrawFn) -> Case:
    """Return a pipeline of up to three valid requests, each of which gets its answer."""
    return draw(_pipelines(METHODS))


@st.composite
def mutated_pipelines(draw: st.DrawFn) -> bytes:
    """Return the bytes of up to five requests, which are valid but for up to three edits."""
    data = draw(_pipelines(METHODS, 5)).sent.replace(b"~", b"x")
    for edit in draw(EDITS) if draw(st.integers(0, 4)) else ():
        data = edit.apply(data)
    return data


@st.composite
def _pipelines(draw: st.DrawFn, methods: tuple[str, ...], most: int = 3) -> Case:
    sent, reaches = b"", []
    for number in range(draw(st.integers(1, most))):
        method = draw(st.sampled_from(methods))
        lines, wire, body = draw(framed()) if method in ("POST", "PUT", "PATCH") else ([], b"", b"")
        target = f"/{draw(TOKEN)}-{number}-~"
        sent += request(*draw(headers()), *lines, start=f"{method} {target} HTTP/1.1", body=wire)
        reaches.append(f"{method} {target}".encode() + (b" " + body if body else b""))
    return Case("valid requests", "RFC 9112", sent, tuple(reaches), (200,) * len(reaches))


@st.composite
def mutated_requests(draw: st.DrawFn) -> Case:
    """Return valid requests with some bytes changed. No outcome is required, only that both parsers stay in step."""
    case = draw(_pipelines(("GET", "POST", "PUT")))  # the answer to HEAD could not be told from others
    data = case.sent
    for edit in draw(EDITS):
        data = edit.apply(data)
    return Case("mutated requests", "RFC 9112", data if b"~" in data else data + b"~", (), (), is_open=True)


@st.composite
def valid_answers(draw: st.DrawFn) -> Case:
    """Return a request and a valid answer to it, with up to two interim ones before it."""
    method = draw(st.sampled_from(["GET", "HEAD", "POST"]))
    status = draw(st.sampled_from([200, 201, 204, 304, 400, 404, 500, 599]))
    lines, wire, body = draw(framed())
    bare = method == "HEAD" or status in (204, 304)
    if status == 204:
        lines = []
    interim = b"".join(
        answered(start=f"HTTP/1.1 {code} I") for code in draw(st.lists(st.sampled_from([100, 102, 103]), max_size=2))
    )
    answer = answered(*draw(headers()), *lines, start=f"HTTP/1.1 {status} S", body=b"" if bare else wire)
    sent = request(*(["Content-Length: 0"] if method == "POST" else []), start=f"{method} /~ HTTP/1.1")
    return Case(
        "valid answers",
        "RFC 9112",
        sent,
        (f"{method} /~".encode(),),
        (status,),
        answer=interim + answer,
        body=b"" if bare else body,
    )


@st.composite
def mutated_answers(draw: st.DrawFn) -> Case:
    """Return a valid answer with some bytes changed, after which the upstream may close."""
    case = draw(valid_answers())
    assert case.answer is not None
    data = case.answer
    for edit in draw(EDITS):
        data = edit.apply(data)
    return replace(case, name="mutated answers", answer=data, closes=draw(st.booleans()), endless=True, is_open=True)
