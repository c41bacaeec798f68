"""Durations, percentages, ratios and the other small notations of routing.yaml."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import field_types
from proxy.types import BasisPoints


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("2s", 2.0), ("1.5s", 1.5), ("5m", 300.0), ("12h", 43_200.0), ("7d", 604_800.0), ("2 s", 2.0)],
)
def test_durations_carry_their_unit(text: str, seconds: float) -> None:
    assert field_types.read_duration(text) == seconds


@pytest.mark.parametrize(("text", "share"), [("25%", 2500), ("0.01%", 1), ("100%", 10_000), ("0", 0), ("12.5 %", 1250)])
def test_shares_are_multiples_of_a_hundredth_percent(text: str, share: int) -> None:
    assert field_types.read_share(text) == share


@pytest.mark.parametrize(
    ("read", "value", "complaint"),
    [
        (field_types.read_duration, "2", "did you mean 2s?"),
        (field_types.read_duration, "2 weeks", "with its unit"),
        (field_types.read_duration, "1h30m", "with its unit"),
        (field_types.read_duration, "-2s", "with its unit"),
        (field_types.read_duration, "0s", "above zero"),
        (field_types.read_duration, "366d", "at most 365d"),
        (field_types.read_duration, ["2s"], "must be a duration"),
        (field_types.read_duration, True, "must be a duration"),
        (field_types.read_share, "25", "did you mean 25%?"),
        (field_types.read_share, "0.25", "did you mean 0.25%?"),
        (field_types.read_share, "25.005%", "steps of 0.01%"),
        (field_types.read_share, "101%", "between 0% and 100%"),
        (field_types.read_share, "-1%", "steps of 0.01%"),
        (field_types.read_share, "٢٥%", "steps of 0.01%"),
        (field_types.read_share, 10_001, "between 0% and 100%"),
        (field_types.read_share, {}, "must be a percentage"),
        (field_types.read_share, True, "must be a percentage"),
        (field_types.read_positive_share, "0%", "above 0%"),
        (field_types.read_ratio, "2", "did you mean 2x?"),
        (field_types.read_ratio, "twice", "as in 2x"),
        (field_types.read_ratio, "1x", "above 1x"),
        (field_types.read_ratio, None, "must be a ratio"),
        (field_types.read_count, "0", "between 1"),
        (field_types.read_count, "1.5", "a whole number"),
        (field_types.read_count, "many", "a whole number"),
        (field_types.read_count, [], "a whole number"),
        (field_types.read_switch, "maybe", "true or false"),
        (field_types.read_switch, {}, "true or false"),
        (field_types.read_text, "", "1 to 256"),
        (field_types.read_text, "a\nb", "on one line"),
        (field_types.read_text, "x" * 257, "1 to 256"),
        (field_types.read_url, "127.0.0.1:4500", "an http or https URL"),
        (
            field_types.read_legacy_url,
            "localhost:4500",
            "URL, as in http://127.0.0.1:4500; did you mean http://localhost:4500?",
        ),
        (field_types.read_legacy_url, "http://a/ü", "a base path of plain ASCII"),
        (field_types.read_url, "ftp://a", "an http or https URL"),
        (field_types.read_url, "http://", "an http or https URL"),
        (field_types.read_url, "http://a:99999", "must be a URL"),
        (field_types.read_url, "http://[::1", "must be a URL"),
        (field_types.read_url, "http://a:0", "an http or https URL"),
        (field_types.read_url, "http://ü", "an http or https URL"),
        (field_types.read_url, "http://me:pw@a", "user name or password"),
        (field_types.read_url, "http://a/api", "end after the host and port"),
        (field_types.read_url, "http://a?b", "end after the host and port"),
        (field_types.read_origin, "example.org", "must be an origin"),
        (field_types.read_match, "GTE /", "did you mean GET?"),
        (field_types.read_match, [], "a method and a path"),
    ],
)
def test_other_notations_are_refused_with_a_suggestion(
    read: Callable[[object], object], value: object, complaint: str
) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        read(value)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("read", "value", "result"),
    [
        (field_types.read_duration, 2, 2.0),
        (field_types.read_share, 2500, 2500),
        (field_types.read_ratio, 1.5, 1.5),
        (field_types.read_ratio, "2.5x", 2.5),
        (field_types.read_count, 7, 7),
        (field_types.read_count, "1_000", 1000),
        (field_types.read_switch, False, False),
        (field_types.read_switch, "On", True),
        (field_types.read_url, "http://127.0.0.1:4500/", "http://127.0.0.1:4500"),
        (field_types.read_url, "https://[::1]:8443", "https://[::1]:8443"),
        (field_types.read_origin, "HTTPS://App.example", "https://app.example"),
        (field_types.read_match, "GET  /a/", "GET /a"),
    ],
)
def test_values_of_the_parsed_type_are_accepted(
    read: Callable[[object], object], value: object, result: object
) -> None:
    assert read(value) == result


@given(st.integers(0, 10_000))
def test_shown_share_reads_back(share: int) -> None:
    assert field_types.read_share(field_types.show_share(BasisPoints(share))) == share


@given(st.integers(1, 10_000_000))
def test_shown_duration_reads_back(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert field_types.read_duration(field_types.show_duration(seconds)) == pytest.approx(seconds, rel=1e-5)


@given(st.text())
def test_random_text_raises_value_errors_only(text: str) -> None:
    for read in (
        field_types.read_duration,
        field_types.read_share,
        field_types.read_ratio,
        field_types.read_url,
        field_types.read_match,
    ):
        try:
            read(text)
        except ValueError:
            continue
