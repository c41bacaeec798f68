"""Texts that grow piece by piece."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.growing_text import MAX_WIDE, STEP, GrowingText, TextTooLargeError, width_of
from tests.support.tracing import untraced


class OtherError(ValueError):
    """An error of a user of the text."""


@given(
    pieces=st.lists(st.tuples(st.sampled_from(["", "a", "é", "ſ", "😀", "\ud800"]), st.sampled_from([1, 100, STEP])))
)
def test_text_equals_its_pieces(pieces: list[tuple[str, int]]) -> None:
    text = GrowingText()
    for piece, times in pieces:
        text.add(piece * times)
    assert (text.take(), text.take()) == ("".join(piece * times for piece, times in pieces), "")


@pytest.mark.parametrize(
    ("text", "error"), [(GrowingText(), TextTooLargeError), (GrowingText(OtherError), OtherError)], ids=["own", "given"]
)
def test_wide_character_does_not_widen_a_long_text(text: GrowingText, error: type[ValueError]) -> None:
    for _ in range(MAX_WIDE // 2 >> 20):
        text.add("x" * (1 << 20))
    with pytest.raises(error):
        text.add("😀")


def test_text_is_held_once() -> None:
    pieces, size = 64, 1 << 17
    text = GrowingText()
    text.add("x" * size)
    tracemalloc.start()
    try:
        with untraced():
            for _ in range(pieces):
                text.add("y" * size)
            whole = text.take()
        assert tracemalloc.get_traced_memory()[1] < 1.3 * len(whole)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece", ["", "a", "a" * 99, "é", "ÿa", "ſ", "aſ" * 50, "😀", "a😀"])
def test_width_is_that_of_the_widest_character(piece: str) -> None:
    highest = max(map(ord, piece), default=0)
    assert width_of(piece) == (1 if highest < 0x100 else 2 if highest < 0x10000 else 4)


def test_size_is_that_in_memory() -> None:
    text = GrowingText()
    text.add("a" * 10)
    assert text.size == 10
    text.add("😀")
    assert text.size == 44
    text.take()
    assert text.size == 0
    text.add("a")
    assert text.size == 1
