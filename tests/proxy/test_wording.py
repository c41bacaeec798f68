"""Phrases in messages to people."""

from __future__ import annotations

import pytest

from proxy.wording import counted


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
def test_noun_follows_its_number(number: int, noun: str, spec: str, expected: str) -> None:
    assert counted(number, noun, spec) == expected
