"""Bodies in other charsets, decoded in pieces: the same as decoded at once."""

from __future__ import annotations

import asyncio
import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.json_structure import StructureError
from handlers.legacy.express.charsets import LONGEST_UTF7, STEP, decode_in_slices, decoder

UNITS = st.lists(
    st.tuples(
        st.sampled_from(["a", "é", "\ufeff", "😀", "\ud83d", "\ude00", "\ud800\udc00", "\x00"]),
        st.sampled_from([1, 2, 1023, 1024, 2047]),
    ),
    max_size=12,
).map(lambda units: "".join(text * times for text, times in units))
"""Texts whose characters and halves of characters fall on and between the ends of pieces."""


def decode(charset: str, data: bytes) -> str:
    decoding = decoder(charset)
    assert decoding is not None
    return asyncio.run(decode_in_slices(decoding, data))


def javascript(text: str) -> str:
    """Return a text as a JavaScript string is: adjacent halves are one character, without a byte order mark."""
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return paired.removeprefix("\ufeff")


@pytest.mark.parametrize("charset", ["utf-16le", "utf-16be", "utf-32le", "utf-32be"])
@given(text=UNITS, rest=st.sampled_from([b"", b"\0", b"\0\0\0"]))
def test_wide_charset_equals_decoding_of_the_whole(charset: str, text: str, rest: bytes) -> None:
    data = text.encode(charset, "surrogatepass")
    partial = rest if charset.startswith("utf-32") else rest[:1]
    assert decode(charset, data + partial) == javascript(text)


@pytest.mark.parametrize("byte", [b"a", b"\xff", b"\xe2\x82", b"\xc3\xa9", b"\xed\xa0\x80"])
@pytest.mark.parametrize("size", [0, 1, STEP - 1, STEP, STEP + 1, 3 * STEP])
def test_utf8_equals_decoding_of_the_whole(byte: bytes, size: int) -> None:
    data = b"\xef\xbb\xbf" + (byte * size)[:size]
    assert decode("utf-8", data) == data[3:].decode("utf-8", "replace")


@pytest.mark.parametrize("unit", [b"+-", b"+AOk-", b"a", b"+2D3eAA-", b"\x80"])
def test_utf7_equals_decoding_of_the_whole(unit: bytes) -> None:
    count = LONGEST_UTF7 // len(unit)
    assert decode("utf-7", unit * count) == decode("utf-7", unit) * count


def test_long_utf7_run_is_decoded_whole() -> None:
    coded = b"2D3eAA" * 8_000
    assert decode("utf-7", b"+" + coded + b"-") == decode("utf-16be", base64.b64decode(coded))


def test_longer_utf7_is_refused() -> None:
    with pytest.raises(StructureError):
        decode("utf-7", b"a" * (LONGEST_UTF7 + 1))
