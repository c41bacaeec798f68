"""Phrases in messages to people."""

from __future__ import annotations

import pytest

from proxy.wording import closest, counted, did_you_mean


@pytest.mark.parametrize(
    ("number", "noun", "spec", "expected"),
    [
        (0, "route", "", "0 routes"),
        (1, "route", "", "1 route"),
        (2, "mismatch", "", "2 mismatches"),
        (1, "replay", ",", "1 replay"),
        (1204, "replay", ",", "1,204 replays"),
    ],
)
def test_noun_is_singular_or_plural_by_number(number: int, noun: str, spec: str, expected: str) -> None:
    assert counted(number, noun, spec) == expected


@pytest.mark.parametrize(("word", "expected"), [("chekc", "check"), ("status", "status"), ("zzz", None), ("", None)])
def test_closest_word_is_suggested(word: str, expected: str | None) -> None:
    assert closest(word, ("check", "status")) == expected


def test_suggestion_requires_a_close_word() -> None:
    assert did_you_mean("chekc", ("check", "status")) == "; did you mean check?"
    assert did_you_mean("chekc", ("check",), "`{}`".format) == "; did you mean `check`?"
    assert did_you_mean("zzz", ("check",)) == ""
