"""Framing of responses, from lists of bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.backends.legacy.framing import (
    MAX_CHUNK_LINE,
    MAX_HEAD_SIZE,
    MAX_TRAILERS,
    MalformedResponse,
    ResponseReader,
    keep_alive_timeout,
)
from tests.support.pieces import deliveries
from tests.support.upstream_responses import EXCESS, RESPONSES, SOUND, Response

BY_NAME = pytest.mark.parametrize("case", RESPONSES, ids=lambda case: case.name)


def splits(raw: bytes) -> Iterator[Sequence[bytes]]:
    """Return the bytes whole, byte by byte, and in two parts at the boundaries (of long ones: at both ends)."""
    boundaries = range(1, len(raw)) if len(raw) < 2000 else [*range(1, 80), *range(len(raw) - 20, len(raw))]
    return deliveries(raw, boundaries)


def read(case: Response, parts: Sequence[bytes]) -> tuple[int, bytes, bool, bool]:
    """Return (status, body, whole, reusable) as a connection would take them; 502 if there is no response."""
    reader = ResponseReader(head_only=case.method == "HEAD")
    body = b""
    try:
        for part in parts:
            reader.feed(part)
            body, reader.body = body + b"".join(reader.body), []
        whole = reader.end() if case.closes else reader.complete
    except MalformedResponse:
        body, whole = body + b"".join(reader.body), False
    if reader.head is None:
        return 502, b"", True, False
    reusable = whole and reader.head.keep_alive and not reader.excess and not case.closes
    return reader.head.status, body, whole, reusable


@BY_NAME
def test_response_split_anywhere_reads_the_same(case: Response) -> None:
    for parts in splits(case.raw):
        assert read(case, parts) == (case.status, case.body, case.whole, case.reused), parts[:2]


@pytest.mark.parametrize("case", [each for each in SOUND if each.reused], ids=lambda case: case.name)
def test_bytes_beyond_the_end_are_excess(case: Response) -> None:
    for extra in (b"\r", b"\n", b"\0", b"HTTP/1.1 400 X\r\n\r\n", case.raw):
        for parts in splits(case.raw + extra):
            reader = ResponseReader(head_only=case.method == "HEAD")
            for part in parts:
                reader.feed(part)
            assert reader.complete
            assert reader.excess == extra
            assert reader.head is not None
            assert (reader.head.status, b"".join(reader.body)) == (case.status, case.body)


@pytest.mark.parametrize("case", EXCESS, ids=lambda case: case.name)
def test_headers_are_unaffected_by_the_following_bytes(case: Response) -> None:
    reader = ResponseReader(head_only=case.method == "HEAD")
    head, _, rest = case.raw.partition(b"\r\n")
    reader.feed(head + b"\r\nX-Kept: 1\r\n" + rest)
    assert reader.head is not None
    assert reader.head.headers[0] == (b"x-kept", b"1")


def test_upgrade_ends_with_its_head() -> None:
    for parts in splits(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n\x81\x00"):
        reader = ResponseReader(upgrade=True)
        for part in parts:
            reader.feed(part)
        assert reader.complete
        assert reader.excess == b"\x81\x00"


def test_continue_is_reported_once_its_head_is_complete() -> None:
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 100 Continue\r\n\r")
    before = reader.continued
    reader.feed(b"\n")
    assert (before, reader.continued, reader.head) == (False, True, None)


@pytest.mark.parametrize("status", [102, 103, 199])
def test_only_a_100_lets_the_body_follow(status: int) -> None:
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 %d Wait\r\n\r\n" % status)
    assert not reader.continued
    reader.feed(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 %d Wait\r\n\r\n" % status)
    assert reader.continued


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=12), st.data())
def test_chunked_body_keeps_its_framing(body: bytes, sizes: list[int], data: st.DataObject) -> None:
    raw, at = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", 0
    for size in sizes:
        part = body[at : at + size]
        raw += b"%x\r\n%b\r\n" % (len(part), part) if part else b""
        at += size
    raw += (b"%X;last\r\n%b\r\n" % (len(body[at:]), body[at:]) if body[at:] else b"") + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    reader = ResponseReader()
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        reader.feed(raw[start:end])
    assert b"".join(reader.body) == body
    assert reader.complete
    assert reader.excess == b""


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4), st.booleans())
def test_split_bytes_are_read_alike(tail: bytes, cuts: list[int], chunked: bool) -> None:
    framing = b"transfer-encoding: chunked" if chunked else b"content-length: 7"
    raw = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + tail
    case = Response("any", raw, closes=True)
    cuts = sorted(min(cut, len(raw)) for cut in cuts)
    parts = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert read(case, parts) == read(case, [raw])


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("size", [1, 9, 10, 15, 16, 17, 255, 256, 0xABCDE])
@pytest.mark.parametrize("spelling", [b"%x", b"%X", b"00%x"])
def test_size_of_a_chunk_is_hexadecimal(size: int, spelling: bytes) -> None:
    reader = ResponseReader()
    reader.feed(CHUNKED + spelling % size + b"\r\n" + bytes(size) + b"\r\n0\r\n\r\nX")
    assert (reader.complete, b"".join(reader.body), reader.excess) == (True, bytes(size), b"X")


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("before", [b"", b"4000\r\n" + bytes(0x4000) + b"\r\n"])
@pytest.mark.parametrize("ended", [True, False])
def test_chunk_line_has_a_limit_wherever_it_begins(beyond: int, before: bytes, ended: bool) -> None:
    end = b"\r\n" if ended else b""
    line = b"1;" + b"x" * (MAX_CHUNK_LINE + beyond - 2 - len(end)) + end
    reader = ResponseReader()
    with pytest.raises(MalformedResponse) if beyond else nullcontext():
        reader.feed(CHUNKED + before + line)
    assert not reader.complete


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("split", [True, False])
def test_trailers_have_a_limit_in_all(beyond: int, split: bool) -> None:
    lines = [b"a: 1\r\n", b"b: " + b"x" * (MAX_TRAILERS + beyond - 13) + b"\r\n", b"\r\n"]
    parts = lines if split else [b"".join(lines)]
    reader = ResponseReader()
    reader.feed(CHUNKED + b"4000\r\n" + bytes(0x4000) + b"\r\n0\r\n")
    with pytest.raises(MalformedResponse) if beyond else nullcontext():
        for part in parts:
            reader.feed(part)
    assert reader.complete is not bool(beyond)


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("end", [b"\r\n\r\n", b""])
def test_head_has_a_limit(beyond: int, end: bytes) -> None:
    start = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: "
    reader = ResponseReader()
    with pytest.raises(MalformedResponse) if beyond else nullcontext():
        reader.feed(start + b"x" * (MAX_HEAD_SIZE + beyond - len(start) - len(end)) + end)
    assert reader.complete is (bool(end) and not beyond)


@pytest.mark.parametrize(("coding", "persists"), [(b"", True), (b"transfer-encoding: chunked\r\n", False)])
def test_chunked_answer_of_http_1_0_ends_the_connection(coding: bytes, persists: bool) -> None:
    length = b"" if coding else b"content-length: 0\r\n"
    reader = ResponseReader()
    reader.feed(b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n" + length + coding + b"\r\n")
    assert reader.head is not None
    assert reader.head.keep_alive is persists


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"timeout=5", 5), (b"timeout=5, max=9", 5), (b"max=9,\tTimeout=7", 7), (b"timeout=x", None), (b"max=1", None)],
)
def test_keep_alive_header_gives_its_timeout(value: bytes, seconds: int | None) -> None:
    assert keep_alive_timeout([(b"x", b""), (b"keep-alive", value)]) == seconds


AT_TRAILERS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"


@pytest.mark.parametrize(
    "line", [b"HTTP/1.1 200 OK", b"nonsense", b" folded: x", b"a b: c", b": x", b"x: a\rb", b"x: \0"], ids=repr
)
def test_trailer_that_is_not_a_header_is_malformed(line: bytes) -> None:
    for step in (1, 1000):
        reader, data = ResponseReader(), AT_TRAILERS + line + b"\r\n\r\n"
        with pytest.raises(MalformedResponse):
            for at in range(0, len(data), step):
                reader.feed(data[at : at + step])
        assert (b"".join(reader.body), reader.complete) == (b"ok", False)


@pytest.mark.parametrize("line", [b"x: y", b"content-length: 99", b"transfer-encoding: chunked", b"host: a"])
def test_trailer_of_any_name_is_dropped(line: bytes) -> None:
    reader = ResponseReader()
    reader.feed(AT_TRAILERS + line + b"\r\n\r\nmore")
    assert (b"".join(reader.body), reader.complete, reader.excess) == (b"ok", True, b"more")
