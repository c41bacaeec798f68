"""Request heads: what passes, what is refused by which status, and where a head ends."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.server.head_parser import HeadParser
from proxy.server.refusal import HEAD_LIMIT, MAX_HEADERS, RefusedRequest
from proxy.server.request_head import RequestHead, split_target

NEXT = b"POST /next HTTP/1.1\r\nHost: n\r\n\r\n"


def lines(*headers: str, request: str = "GET /a HTTP/1.1") -> bytes:
    return "\r\n".join([request, *headers, "", ""]).encode("latin-1")


def read(raw: bytes, size: int = 1 << 20) -> tuple[RequestHead | None, bytes]:
    """Return the first head of bytes that come in pieces of `size`, and the bytes after it."""
    parser, used = HeadParser(), 0
    while used < len(raw):
        piece = raw[used : used + size]
        head, taken = parser.feed(piece)
        used += taken
        if head is not None:
            return head, raw[used:]
        assert taken == len(piece)
    return None, b""


def understood(*headers: str, request: str = "GET /a HTTP/1.1") -> RequestHead:
    head, _ = read(lines(*headers, request=request))
    assert head is not None
    return head


def status_of(raw: bytes, size: int = 1 << 20) -> int:
    """Return the status by which a head is refused, as the first of its connection and after another one."""
    statuses = set[int]()
    for before in (b"", NEXT):
        parser = HeadParser()
        with pytest.raises(RefusedRequest) as caught:
            _feed_all(parser, before, size)
            _feed_all(parser, raw, size)
        statuses.add(caught.value.status.value)
    (status,) = statuses
    return status


def _feed_all(parser: HeadParser, raw: bytes, size: int) -> None:
    while raw:
        _, used = parser.feed(raw[:size])
        raw = raw[used:]


WELL_FORMED = [
    lines("Host: a"),
    lines("Host: a", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQA"),
    lines("Host: a", "Upgrade: TLS/1.0", "Connection: upgrade", "Content-Length: 3", request="POST /a HTTP/1.1"),
    lines("Host: a", "Transfer-Encoding: chunked", request="POST /a HTTP/1.1"),
    lines("Host: a", "X:", "Y:   spaced  ", "Z: caf\xe9"),
    lines("Connection: keep-alive", request="GET / HTTP/1.0"),
    b"\r\n\r\n" + lines("Host: a"),
]


@pytest.mark.parametrize("raw", WELL_FORMED)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_head_ends_at_its_empty_line(raw: bytes, size: int) -> None:
    head, rest = read(raw + NEXT, size)
    assert head is not None
    assert rest == NEXT


@pytest.mark.parametrize("raw", WELL_FORMED)
@pytest.mark.parametrize("size", [1, 1000])
def test_parser_reads_head_after_head(raw: bytes, size: int) -> None:
    parser, rest, heads = HeadParser(), raw + NEXT + raw, []
    while rest:
        head, used = parser.feed(rest[:size])
        rest = rest[used:]
        if head is not None:
            heads.append(head)
            assert not parser.begun
    assert [head.target for head in heads] == [heads[0].target, b"/next", heads[0].target]
    first, last = ({**asdict(head), "headers": list(head.headers)} for head in (heads[0], heads[2]))
    assert first == last


DAMAGES = [
    *(b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b":", b",", b"\xff", b"\r\n\r\n", b"\n\n"),
    *(b" HTTP/1.1", b" HTTP/1.0", b" HTTP/0.9", b" HTTP/2.0", b" RTSP/1.0", b"http://a", b"GET /", b"PRI *"),
    *(
        b"Host: a\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: x\r\n",
        b"Connection: close",
    ),
]


def outcome(raw: bytes, size: int) -> tuple[object, ...]:
    """Return the head and what follows it, or the status by which it is refused."""
    try:
        head, rest = read(raw, size)
    except RefusedRequest as refused:
        return (refused.status,)
    assert head is not None
    return {**asdict(head), "headers": list(head.headers), "recurs": False}, rest


@given(st.data())
def test_damaged_head_has_one_outcome_however_it_is_split(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from(WELL_FORMED)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.sampled_from([0, 0, 1, 2, 9]))] = data.draw(st.sampled_from(DAMAGES))
    whole = outcome(bytes(raw) + NEXT, 1 << 20)
    assert whole == outcome(bytes(raw) + NEXT, 1) == outcome(bytes(raw) + NEXT, data.draw(st.integers(2, 40)))
    rest = whole[-1]
    assert not isinstance(rest, bytes) or (bytes(raw) + NEXT).removesuffix(rest).endswith(b"\r\n\r\n")


def test_names_are_in_lower_case_and_values_without_outer_space() -> None:
    assert list(understood("HOST: a", "X-Y: \t v w \t", "Empty:").headers) == [
        (b"host", b"a"),
        (b"x-y", b"v w"),
        (b"empty", b""),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Host: a", "Host: a"],
        ["Host: a", "Host: b"],
        ["Host: a, b"],
        ["Host: a b"],
        ["Host: a/b"],
        ["Host: user@a"],
        ["Host: a:x"],
        ["Host: [::1"],
        ["Host: caf\xe9"],
        ["Host: a", "Content-Length: 3\t"],
        ["Host: a", "Content-Length: 3, 3"],
        ["Host: a", "Content-Length: +3"],
        ["Host: a", "Content-Length: 3", "Content-Length: 3"],
        ["Host: a", "Content-Length: 3", "Transfer-Encoding: chunked"],
        ["Host: a", "Transfer-Encoding: chunked", "Content-Length: 3"],
        ["Host: a", "Transfer-Encoding: gzip"],
        ["Host: a", "Transfer-Encoding: chunked, gzip"],
        ["Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip"],
        ["Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        *(
            ["Host: a", f"Transfer-Encoding: {coding}{separator}chunked"]
            for coding in ("chunked", "Chunked", "chunked, gzip")
            for separator in (",", ", ", " ,", "\t,", ",\t", "\t,\t", ", ,")
        ),
        ["Host: a", "Transfer-Encoding: xchunked"],
        ["Host: a", "Transfer-Encoding:"],
        ["Host: a", "Upgrade: h2c", "Connection: upgrade", "Transfer-Encoding: gzip"],
        ["Host: a", "Upgrade: h2c", "Connection: upgrade", "Content-Length: 3", "Transfer-Encoding: chunked"],
    ],
)
def test_faulty_head_is_a_bad_request(headers: list[str]) -> None:
    raw = lines(*headers, request="POST /a HTTP/1.1")
    assert status_of(raw) == status_of(raw, 1) == 400


@pytest.mark.parametrize("host", ["a", "a:", "a:80", "127.0.0.1:80", "[::1]:8000", "a_b.c-d", "", "EXAMPLE.org"])
def test_well_formed_host_is_accepted(host: str) -> None:
    assert list(understood(f"Host: {host}").headers) == [(b"host", host.encode())]


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("CONNECT a:443 HTTP/1.1", 405),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("GET / HTTP/1.2", 400),
        ("GET /", 400),
        ("GET http://a", 400),
        ("GET /aHTTP/1.1:", 400),
        ("PRI * HTTP/2.0", 400),
        ("GET http://user@b/ HTTP/1.1", 400),
        ("GET http:///x HTTP/1.1", 400),
        ("GET / RTSP/1.0", 400),
        ("DESCRIBE rtsp://a/ RTSP/1.0", 400),
        ("SOURCE / ICE/1.0", 400),
        ("GET / ICE/1.0", 400),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_request_line_is_refused(request_line: str, status: int, size: int) -> None:
    assert status_of(lines("Host: a", request=request_line), size) == status


@pytest.mark.parametrize(
    ("expectation", "version", "expects", "refused"),
    [
        ("100-continue", "1.1", True, False),
        ("100-Continue", "1.1", True, False),
        ("100-continue, coffee", "1.1", True, False),
        ("coffee", "1.1", False, True),
        ("", "1.1", False, True),
        ("100-continued", "1.1", False, True),
        ("100-continue", "1.0", False, False),
        ("coffee", "1.0", False, False),
    ],
)
def test_expectations_are_nodes(expectation: str, version: str, expects: bool, refused: bool) -> None:
    raw = lines("Host: a", f"Expect: {expectation}", "Content-Length: 3", request=f"POST / HTTP/{version}")
    if refused:
        assert status_of(raw) == 417
    else:
        head, _ = read(raw)
        assert head is not None
        assert head.expects_continue is expects
        assert (b"expect" in dict(head.headers)) is (version == "1.1")


def test_expectation_without_a_body_is_ignored() -> None:
    assert not understood("Host: a", "Expect: 100-continue").expects_continue


@pytest.mark.parametrize(
    ("version", "headers", "is_persistent"),
    [
        ("1.1", [], True),
        ("1.1", ["Connection: close"], False),
        ("1.1", ["Connection: x, CLOSE"], False),
        ("1.1", ["Connection: keep-alive", "Connection: close"], False),
        ("1.1", ["Connection: Upgrade, close", "Upgrade: h2c"], False),
        ("1.1", ["Connection: Upgrade", "Upgrade: h2c"], True),
        ("1.0", [], False),
        ("1.0", ["Connection: Keep-Alive"], True),
        ("1.0", ["Connection: keep-alive", "Transfer-Encoding: chunked"], False),
    ],
)
def test_persistence_follows_version_and_connection(version: str, headers: list[str], is_persistent: bool) -> None:
    assert understood("Host: a", *headers, request=f"POST / HTTP/{version}").keep_alive is is_persistent


@pytest.mark.parametrize(
    ("headers", "offered"),
    [
        (["Connection: Upgrade", "Upgrade: websocket"], True),
        (["Connection: keep-alive, upgrade", "Upgrade: WebSocket"], True),
        (["Connection: Upgrade", "Connection: keep-alive", "Upgrade: websocket"], True),
        (["Connection: keep-alive", "Connection: Upgrade", "Upgrade: websocket"], True),
        (["Connection: Upgrade", "Upgrade: websocket", "Upgrade: websocket"], True),
        (["Connection: Upgrade", "Upgrade: h2c"], False),
        (["Connection: Upgrade", "Upgrade: h2c, websocket"], False),
        (["Connection: keep-alive", "Upgrade: websocket"], False),
        (["Connection: Upgrade"], False),
        (["Connection: Upgrade", "Upgrade: websocket", "Content-Length: 3"], False),
        (["Connection: Upgrade", "Upgrade: websocket", "Transfer-Encoding: chunked"], False),
    ],
)
def test_websocket_offer_is_recognised_as_an_upgrade(headers: list[str], offered: bool) -> None:
    assert understood("Host: a", *headers).websocket is offered


def test_websocket_of_http_1_0_is_ignored() -> None:
    head = understood("Host: a", "Connection: Upgrade", "Upgrade: websocket", request="GET / HTTP/1.0")
    assert not head.websocket


@pytest.mark.parametrize(
    ("target", "host"),
    [("http://b/c", b"b"), ("http://b:81", b"b:81"), ("https://b?q", b"b"), ("http://a/c", b"a"), ("/http://b", b"a")],
)
def test_authority_of_the_target_replaces_host(target: str, host: bytes) -> None:
    head = understood("X: y", "Host: a", "Z: z", request=f"GET {target} HTTP/1.1")
    assert [value for name, value in head.headers if name == b"host"] == [host]
    assert head.target == target.encode()


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        (b"/", ("/", b"/", b"")),
        (b"/a?", ("/a", b"/a", b"")),
        (b"/a?b?c", ("/a", b"/a", b"b?c")),
        (b"/a#b?c", ("/a", b"/a", b"")),
        (b"//a//b", ("//a//b", b"//a//b", b"")),
        (b"/%41%ff", ("/A\ufffd", b"/%41%ff", b"")),
        (b"*", ("*", b"*", b"")),
        (b"http://b/c?d#e", ("/c", b"/c", b"d")),
        (b"http://b", ("http://b", b"http://b", b"")),
    ],
)
def test_target_has_parts(target: bytes, parts: tuple[str, bytes, bytes]) -> None:
    split = split_target(target)
    assert (split.path, split.raw_path, split.query) == parts


COUNTED = len(b"/" + b"Host" + b"a" + b"X")


@pytest.mark.parametrize("size", [1, 997, 100_000])
@pytest.mark.parametrize(("counted", "passes"), [(HEAD_LIMIT - 1, True), (HEAD_LIMIT, False)])
def test_size_of_a_head_is_counted_as_node_counts(counted: int, passes: bool, size: int) -> None:
    padding = "a" * (counted - COUNTED)
    for raw in (
        lines("Host: a", "X:        " + padding, request="GET / HTTP/1.1"),
        lines("Host: a", "X:", request=f"GET /{padding} HTTP/1.1"),
    ):
        if passes:
            assert read(raw + b"x" * 20_000, size)[0] is not None
        else:
            assert status_of(raw, size) == 431


@pytest.mark.parametrize("size", [1, 997, 100_000])
def test_more_headers_than_node_reads_are_refused(size: int) -> None:
    headers = ["Host: a", *(f"X{number}:" for number in range(MAX_HEADERS))]
    assert len(understood(*headers[:MAX_HEADERS]).headers) == MAX_HEADERS
    assert status_of(lines(*headers), size) == 431


@pytest.mark.parametrize(
    "endless", [b"GET /" + b"a" * 70_000, b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000, b"\r\n" * 35_000]
)
def test_endless_head_is_bounded(endless: bytes) -> None:
    assert status_of(endless, 1000) == 431
