"""Content and end of bodies, however they are split; llhttp decides which are well-formed."""

from __future__ import annotations

import contextlib

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.server.body import LINES_AT_ONCE, ChunkedBody, SizedBody, decoder
from proxy.server.refusal import RefusedRequest

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET / HTTP/1.1\r\n"


class Oracle:
    """The content of the first message as llhttp reads it, None if it refuses or waits for more."""

    def __init__(self, body: bytes) -> None:
        self.content = b""
        self.complete = False
        with contextlib.suppress(httptools.HttpParserError):
            httptools.HttpRequestParser(self).feed_data(HEAD + body)

    def on_body(self, body: bytes) -> None:
        if not self.complete:
            self.content += body

    def on_message_complete(self) -> None:
        self.complete = True


def read(body: bytes, pieces: list[int]) -> tuple[bytes, int, bool]:
    """Return content, bytes used and completeness of a chunked body that is fed in pieces of these sizes in turn."""
    chunked, content, used, index = ChunkedBody(), b"", 0, 0
    while used < len(body) and not chunked.complete:
        piece = body[used : used + pieces[index % len(pieces)]]
        part, taken = chunked.feed(piece)
        assert taken == len(piece) or chunked.complete or piece[:taken].count(b"\n") == LINES_AT_ONCE
        content, used, index = content + part, used + taken, index + 1
    return content, used, chunked.complete


chunks = st.lists(st.binary(min_size=1, max_size=40), max_size=5)
extensions = st.sampled_from([b"", b";a", b";a=b", b';a="b c"', b";" + b"x" * 50])
trailers = st.sampled_from([b"", b"X: 1\r\n", b"Host: evil\r\nAuthorization: b\r\n", b"Empty:\r\n"])
pieces = st.lists(st.integers(1, 30), min_size=1, max_size=6)


@st.composite
def chunked_bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Draw a well-formed chunked body and its content."""
    content = draw(chunks)
    digits = draw(st.sampled_from(["%x", "%X", "%04x"]))
    body = b"".join((digits % len(chunk)).encode() + draw(extensions) + b"\r\n" + chunk + b"\r\n" for chunk in content)
    return body + b"0" + draw(extensions) + b"\r\n" + draw(trailers) + b"\r\n", b"".join(content)


@given(chunked_bodies(), pieces)
def test_chunked_body_ends_at_its_last_chunk(body: tuple[bytes, bytes], sizes: list[int]) -> None:
    raw, content = body
    assert read(raw + NEXT, sizes) == (content, len(raw), True)


@given(chunked_bodies(), st.data(), pieces)
def test_damaged_chunked_body_is_read_as_llhttp_or_refused(
    body: tuple[bytes, bytes], data: st.DataObject, sizes: list[int]
) -> None:
    raw = bytearray(body[0])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"0", b"f", b";", b"=", b'"', b"\0", b":", b"-", b"x"])
        )
        raw = raw or bytearray(b"0")
    try:
        content, _, complete = read(bytes(raw), sizes)
    except RefusedRequest:
        return
    oracle = Oracle(bytes(raw))
    assert complete <= oracle.complete
    if complete:
        assert content == oracle.content


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n",
        b"g\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc",
        b"+3\r\nabc",
        b"3\nabc\n0\n\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"3;\r\nabc\r\n0\r\n\r\n",
        b"3; a\r\nabc\r\n0\r\n\r\n",
        b"3;a b\r\nabc\r\n0\r\n\r\n",
        b'3;a="\r\nabc\r\n0\r\n\r\n',
        b'3;a="b"c\r\nabc\r\n0\r\n\r\n',
        b"3;a\nb\r\nabc\r\n0\r\n\r\n",
        b"3;\0\r\nabc\r\n0\r\n\r\n",
        b"10000000000000000\r\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0\r\nTransfer-encoding: chunked\r\n\r\n",
        b"0\r\n: x\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\nX: a\rb\r\n\r\n",
        b"0\r\nX: a\r\n folded\r\n\r\n",
        b"0\r\nX: a\n\r\n",
    ],
)
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_malformed_chunk_is_refused(body: bytes, size: int) -> None:
    with pytest.raises(RefusedRequest) as caught:
        read(body, [size])
    assert caught.value.status == 400


@pytest.mark.parametrize("size", [1, 1000, 100_000])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"3;" + b"a" * 16_384 + b"\r\nabc\r\n0\r\n\r\n", None),
        (b"3;" + b"a" * 17_000 + b"\r\nabc\r\n0\r\n\r\n", 413),
        (b"3;" + b"a" * 17_000, 413),
        ((b"3;" + b"a" * 10_000 + b"\r\nabc\r\n") * 3 + b"0\r\n\r\n", None),
        (b"0\r\nX: " + b"a" * 10_000 + b"\r\n\r\n", None),
        (b"0\r\nX: " + b"a" * 17_000 + b"\r\n\r\n", 431),
        (b"0\r\nX: " + b"a" * 17_000, 431),
        (b"0\r\n" + b"X: y\r\n" * 4000, 431),
        (b"0" * 10_000, 400),
    ],
)
def test_extensions_and_trailers_have_nodes_limits(body: bytes, status: int | None, size: int) -> None:
    if status is None:
        assert read(body, [size])[2]
        return
    with pytest.raises(RefusedRequest) as caught:
        read(body, [size])
    assert caught.value.status == status


@given(st.binary(min_size=1, max_size=60), st.binary(max_size=10), pieces)
def test_sized_body_consumes_its_length_only(body: bytes, rest: bytes, sizes: list[int]) -> None:
    sized, raw, content, index = SizedBody(len(body)), body + rest, b"", 0
    while not sized.complete:
        part, used = sized.feed(raw[: sizes[index % len(sizes)]])
        raw, content, index = raw[used:], content + part, index + 1
        assert sized.left == len(body) - len(content)
    assert (content, raw) == (body, rest)


def test_small_chunks_are_read_in_several_steps() -> None:
    number = 3 * LINES_AT_ONCE
    body = b"1\r\na\r\n" * number + b"0\r\n\r\n"
    assert ChunkedBody().feed(body) == (b"a" * (LINES_AT_ONCE // 2), LINES_AT_ONCE // 2 * len(b"1\r\na\r\n"))
    assert read(body, [len(body)]) == (b"a" * number, len(body), True)


def test_empty_body_needs_no_decoder() -> None:
    assert decoder(0) is None
    assert isinstance(decoder(1), SizedBody)
    assert isinstance(decoder(None), ChunkedBody)
