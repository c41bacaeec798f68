"""Decompression within limits; test_bodies.py compares it with Node's zlib."""

from __future__ import annotations

import gzip
import zlib

import brotli  # type: ignore[import-untyped]
import pytest

from handlers.legacy.express.decompression import STEP, CorruptError, inflater

LARGE = b"x" * 3_000_000
CODED = {"gzip": gzip.compress(LARGE), "deflate": zlib.compress(LARGE), "br": brotli.compress(LARGE)}


@pytest.mark.parametrize("coding", CODED)
def test_a_large_body_comes_out_whole(coding: str) -> None:
    stream = inflater(coding)
    assert stream is not None
    assert b"".join(stream.inflate(CODED[coding])) == LARGE
    stream.finish()


@pytest.mark.parametrize("coding", CODED)
def test_a_small_body_comes_out_in_steps(coding: str) -> None:
    stream = inflater(coding)
    assert stream is not None
    assert max(map(len, stream.inflate(CODED[coding]))) <= 2 * STEP  # brotli gives more than it is asked for


@pytest.mark.parametrize("coding", CODED)
def test_a_body_in_halves_is_one(coding: str) -> None:
    stream = inflater(coding)
    assert stream is not None
    middle = len(CODED[coding]) // 2
    halves = CODED[coding][:middle], CODED[coding][middle:]
    assert b"".join(step for half in halves for step in stream.inflate(half)) == LARGE


@pytest.mark.parametrize("coding", CODED)
def test_half_a_body_is_corrupt(coding: str) -> None:
    stream = inflater(coding)
    assert stream is not None
    list(stream.inflate(CODED[coding][: len(CODED[coding]) // 2]))
    with pytest.raises(CorruptError, match="unexpected end of file"):
        stream.finish()


@pytest.mark.parametrize("coding", CODED)
def test_rubbish_is_corrupt(coding: str) -> None:
    stream = inflater(coding)
    assert stream is not None
    with pytest.raises(CorruptError):
        list(stream.inflate(b"no compressed body " * 9))


@pytest.mark.parametrize("coding", ["zstd", "compress", "x-gzip", "identity", ""])
def test_other_codings_are_unknown(coding: str) -> None:
    assert inflater(coding) is None
