"""Recurring heads are read as the parser reads them, however they are split and mixed."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from proxy.server.head_parser import HeadParser
from proxy.server.known_heads import MAX_SIZE, KnownHeads
from proxy.server.refusal import RefusedRequest
from proxy.server.request_head import RequestHead

Outcome = list[tuple[object, ...]]

LINES = st.sampled_from(
    [
        *(
            "GET / HTTP/1.1",
            "GET /a?b=1&c=%20 HTTP/1.1",
            "HEAD /a HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "DELETE /x HTTP/1.0",
        ),
        *("GET /a#b HTTP/1.1", "GET  /a HTTP/1.1", "GET /a b HTTP/1.1", "get /a HTTP/1.1", "GET http://o/a HTTP/1.1"),
        *(
            "GET /a HTTP/2.0",
            "GET /a RTSP/1.0",
            "CONNECT a:1 HTTP/1.1",
            "PROPFIND /a HTTP/1.1",
            "GET /caf\xe9 HTTP/1.1",
        ),
        *(
            "GET /\x7f HTTP/1.1",
            'GET /"<>\\^`{|}[] HTTP/1.1',
            "GET // HTTP/1.1",
            "GET /??? HTTP/1.1",
            "M-SEARCH / HTTP/1.1",
        ),
    ]
)
FIELDS = st.sampled_from(
    [
        *("Host: a", "Host: b", "host:a", "X-A: 1", "X-A: 2", "X-A:\t1 ", "Accept: */*", "Cookie: a=b", "X: \x80"),
        *("Connection: close", "Connection: keep-alive", "Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c"),
        *("Expect: 100-continue", "Expect: x", "Bad Name: 1", "X-Lf: a\nb", "X-Nul: \0", "X-Long: " + "y" * MAX_SIZE),
    ]
)
BLOCKS = st.one_of(st.lists(FIELDS, max_size=4).map(lambda fields: ["Host: a", *fields]), st.lists(FIELDS, max_size=4))


def head_of(line: str, fields: list[str]) -> bytes:
    return "\r\n".join([line, *fields, "", ""]).encode("latin-1")


HEADS = st.builds(head_of, LINES, st.shared(st.lists(BLOCKS, min_size=2, max_size=3)).flatmap(st.sampled_from))


def facts(head: RequestHead) -> tuple[object, ...]:
    return (
        *(head.method, head.target, head.version, list(head.headers), head.length),
        *(head.keep_alive, head.expects_continue, head.websocket),
    )


def remember(known: KnownHeads, head: bytes) -> None:
    for _ in range(2):
        read(HeadParser(known), [head])


def read(parser: HeadParser, pieces: list[bytes]) -> Outcome:
    """Return the heads in the order of their bytes, each with its end, up to one that is refused or the last."""
    outcome: Outcome = []
    at, rest = 0, b""
    for piece in pieces:
        rest += piece
        while rest:
            try:
                head, used = parser.feed(rest)
            except RefusedRequest as refused:
                return [*outcome, ("refused", refused.status)]
            at, rest = at + used, rest[used:]
            if head is None:
                break
            outcome.append((at, *facts(head)))
            if head.websocket or not head.keep_alive:
                return outcome
    return outcome


@given(st.lists(HEADS, min_size=1, max_size=6), st.lists(st.integers(0, 600), max_size=6))
def test_known_head_reads_as_by_the_parser(heads: list[bytes], cuts: list[int]) -> None:
    known = KnownHeads()
    for head in (*heads, *heads):  # each alone, on a connection of its own
        assert read(HeadParser(known), [head]) == read(HeadParser(), [head])
    stream = b"".join(heads)
    bounds = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    pieces = [stream[start:end] for start, end in pairwise(bounds)]
    assert read(HeadParser(known), pieces) == read(HeadParser(), [bytes([byte]) for byte in stream])


@given(HEADS, st.data())
def test_head_of_one_different_byte_is_not_taken_from_the_cache(head: bytes, data: st.DataObject) -> None:
    known = KnownHeads()
    remember(known, head)
    at = data.draw(st.integers(0, len(head) - 1))
    other = head[:at] + bytes([data.draw(st.integers(0, 255))]) + head[at + 1 :]
    assert read(HeadParser(known), [other]) == read(HeadParser(), [other])


def test_known_headers_match_any_request_line() -> None:
    known = KnownHeads()
    remember(known, head_of("GET /a HTTP/1.1", ["Host: a", "X: 1"]))
    body = b"{}"
    result = known.find(head_of("POST /b?c HTTP/1.1", ["Host: a", "X: 1"]) + body)
    assert result is not None
    assert facts(result[0])[:2] == ("POST", b"/b?c")
    assert result[0].headers == ((b"host", b"a"), (b"x", b"1"))


def test_blocks_are_forgotten_beyond_the_bound() -> None:
    known = KnownHeads(2)
    heads = [head_of("GET /a HTTP/1.1", [f"Host: {name}"]) for name in "abc"]
    for head in heads:
        remember(known, head)
    assert [known.find(head) is not None for head in heads] == [False, True, True]


def test_large_block_is_not_remembered() -> None:
    known = KnownHeads()
    head = head_of("GET /a HTTP/1.1", ["Host: a", "X: " + "y" * MAX_SIZE])
    remember(known, head)
    assert known.find(head) is None


def test_block_is_cached_at_its_second_use() -> None:
    known = KnownHeads()
    head = head_of("GET /a HTTP/1.1", ["Host: a"])
    read(HeadParser(known), [head])
    assert known.find(head) is None
    read(HeadParser(known), [head])
    assert known.find(head) is not None
