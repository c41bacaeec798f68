"""Trimming as in JavaScript, for short and long texts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.white_space import WHITESPACE, trim

LONG = "x" * 70_000
edges = st.text(st.sampled_from([*WHITESPACE, "a", "\x1f", "\x85"]), max_size=8)


def test_trimming_removes_javascripts_white_space_only() -> None:
    assert trim("\ufeff\u00a0 \t\n\x1f a \x85\u2029 ") == "\x1f a \x85"


@given(before=edges, after=edges)
def test_trim_of_a_long_text_equals_a_short_ones(before: str, after: str) -> None:
    assert trim(f"{before}{LONG}{after}") == f"{before}{LONG}{after}".strip(WHITESPACE)


def test_trim_of_white_space_alone_is_empty() -> None:
    assert trim(" \t" * 50_000) == ""
