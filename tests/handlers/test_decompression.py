"""Decompression within limits; test_bodies.py compares it with Node's zlib."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence

import brotli  # type: ignore[import-untyped]
import pytest

from handlers.decompression import STEP, CorruptError, inflater
from tests.support.pieces import deliveries

LARGE = b"x" * 3_000_000
MEMBER = gzip.compress(b"more", mtime=0)
AFTER = [b"", b"\0", b"\0\0", b"\0x", b"x", b"\x1f", b"xyz", MEMBER[:9], MEMBER]
CODED = {"gzip": gzip.compress(LARGE), "deflate": zlib.compress(LARGE), "br": brotli.compress(LARGE, quality=1)}


@pytest.mark.parametrize("coding", CODED)
def test_large_body_is_inflated_whole(coding: str) -> None:
    stream = inflater(coding)
    assert stream is not None
    assert b"".join(stream.inflate(CODED[coding])) == LARGE
    stream.finish()


@pytest.mark.parametrize("coding", CODED)
def test_small_body_is_inflated_in_steps(coding: str) -> None:
    stream = inflater(coding)
    assert stream is not None
    assert max(map(len, stream.inflate(CODED[coding]))) <= 2 * STEP  # brotli returns more than requested


def inflated(coding: str, pieces: Sequence[bytes]) -> bytes | None:
    """Return the content of a body that arrives in pieces; None for a corrupt one."""
    stream = inflater(coding)
    assert stream is not None
    try:
        content = b"".join(step for piece in pieces for step in stream.inflate(piece))
        stream.finish()
    except CorruptError:
        return None
    return content


@pytest.mark.parametrize("coding", CODED)
def test_halved_body_is_inflated_whole(coding: str) -> None:
    middle = len(CODED[coding]) // 2
    assert inflated(coding, (CODED[coding][:middle], CODED[coding][middle:])) == LARGE


@pytest.mark.parametrize("missing", [0, 1, 4, 9])
@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("coding", CODED)
def test_body_split_anywhere_inflates_the_same(coding: str, after: bytes, missing: int) -> None:
    coded = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress}[coding](b"hello, hello")
    body = coded[: len(coded) - missing] + after
    assert {inflated(coding, pieces) for pieces in deliveries(body)} == {inflated(coding, [body])}


@pytest.mark.parametrize("coding", CODED)
def test_half_a_body_is_corrupt(coding: str) -> None:
    stream = inflater(coding)
    assert stream is not None
    list(stream.inflate(CODED[coding][: len(CODED[coding]) // 2]))
    with pytest.raises(CorruptError, match="unexpected end of file"):
        stream.finish()


@pytest.mark.parametrize("coding", CODED)
def test_invalid_data_is_corrupt(coding: str) -> None:
    stream = inflater(coding)
    assert stream is not None
    with pytest.raises(CorruptError):
        list(stream.inflate(b"no compressed body " * 9))


@pytest.mark.parametrize("coding", ["zstd", "compress", "x-gzip", "identity", ""])
def test_other_codings_have_no_inflater(coding: str) -> None:
    assert inflater(coding) is None
