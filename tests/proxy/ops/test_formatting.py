"""Numbers in a short readable form, never rounded up beyond their value."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.ops.formatting import ago, described, duration, iso, latency, moment, number, percent, size
from proxy.reports.models import Tree
from proxy.types import JSON

AT = 1_795_356_309.0


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7, "7"), (1204, "1,204"), (0.34, "0.34"), (12.6, "13"), (0.001, "<0.01"), (2.0, "2"), (9.96, "10")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 8, "12.5%"),
        (0, 5, "0%"),
        (5, 5, "100%"),
        (0, 0, "–"),
        (1, 1_000_000, "<0.01%"),
        (999_999, 1_000_000, ">99.99%"),
        (9_999, 10_000, "99.99%"),
        (1, 3, "33.33%"),
    ],
)
def test_parts_of_a_whole(part: int, whole: int, text: str) -> None:
    assert percent(part, whole) == text


@settings(max_examples=40)
@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_partial_share_is_never_shown_as_0_or_100(part: int, rest: int) -> None:
    assert percent(part, part + rest) not in ("0%", "100%")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.00084, "0.84 ms"), (0.0123, "12 ms"), (0.999, "999 ms"), (1.24, "1.2 s"), (0.0096, "9.6 ms")],
)
def test_latencies(seconds: float | None, text: str) -> None:
    assert latency(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.6, "59 s"),
        (200, "3 min 20 s"),
        (86_400 * 6 + 4 * 3600 + 59, "6 d 4 h"),
        (86_405, "1 d"),
        (-3, "0 s"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "just now"),
        (-60, "just now"),
        (44, "44 s ago"),
        (119, "1 min ago"),
        (7300, "2 h ago"),
        (400_000, "4 d ago"),
        (-7300, "in 2 h"),
    ],
)
def test_how_long_since(seconds: float, text: str) -> None:
    assert ago(AT - seconds, AT) == text


def test_times_are_of_utc() -> None:
    assert moment(AT) == "22 Nov 2026, 14:05:09 UTC"
    assert iso(AT) == "2026-11-22T14:05:09Z"


@pytest.mark.parametrize(("octets", "text"), [(0, "0 B"), (1023, "1023 B"), (2458, "2.4 KiB"), (1 << 20, "1.0 MiB")])
def test_sizes(octets: int, text: str) -> None:
    assert size(octets) == text


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        (None, "–"),
        ({"type": "string", "value": "active"}, "active"),
        ({"type": "boolean", "value": True}, "true"),
        ({"type": "null", "value": None}, "null"),
        ({"type": "string", "length": 4, "digest": "b"}, "string of 4"),
        ({"type": "id", "length": 24, "digest": "b"}, "id"),
        ({"type": "boolean"}, "boolean"),
        ({"type": "object", "length": 1, "fields": []}, "object of 1 field"),
        ({"type": "array", "length": 90, "cut": True}, "array of 90 items"),
    ],
)
def test_redacted_values(tree: Tree | None, text: str) -> None:
    assert described(tree) == text


@pytest.mark.parametrize(("value", "text"), [("2", '"2"'), (2, "2"), ("é", '"é"'), (None, "null"), ("null", '"null"')])
def test_quoted_texts_differ_from_other_values(value: JSON, text: str) -> None:
    assert described({"type": "any", "value": value}, quoted=True) == text
