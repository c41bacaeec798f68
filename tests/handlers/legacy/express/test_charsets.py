"""Charsets, compared with iconv-lite."""

from __future__ import annotations

import asyncio
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.legacy.express.charsets import decode_in_slices, decoder
from tests.support.library_oracle import Libraries
from tests.support.profile import examples

CHARSETS = ["utf-8", "utf-16", "utf-16le", "utf-16be", "utf-32", "utf-32le", "utf-32be", "utf-7", "utf-7-imap"]
TEXTS = ['{"a":1}', "é", "😀", "\ufeff", "+", "&", "-", "/", ",", " ", "\0", "~", "\\", "A", "Aa0"]
CODINGS = ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-7"]


texts = st.lists(st.sampled_from(TEXTS), max_size=6).map("".join)
coded = st.tuples(texts, st.sampled_from(CODINGS)).map(lambda drawn: drawn[0].encode(drawn[1]))


@pytest.mark.seeded
@pytest.mark.parametrize("charset", CHARSETS)
def test_decodes_any_bytes_as_iconv(node: Libraries, charset: str) -> None:
    decode = decoder(charset)
    assert decode is not None

    @settings(max_examples=examples(100), deadline=None)
    @given(st.lists(coded | st.binary(max_size=2), max_size=3).map(b"".join))
    def check(data: bytes) -> None:
        assert asyncio.run(decode_in_slices(decode, data)) == node.call("charset", b64encode(data).decode(), charset)

    check()
