"""Times, ids and texts in another spelling."""

from __future__ import annotations

import pytest

from proxy.comparison.spelling import http_date, is_same_value, text_kind

MOMENT_MS = 784_111_777_000


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 -0000",
        "Sun, 06 Nov 1994 10:49:37 +0200",
    ],
)
def test_http_date_is_in_utc_without_a_zone(text: str) -> None:
    assert http_date(text) == MOMENT_MS


@pytest.mark.parametrize("text", ["", "0", "yesterday", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 99999 08:49 GMT"])
def test_text_that_is_not_an_http_date_has_no_time(text: str) -> None:
    assert http_date(text) is None


@pytest.mark.parametrize(
    ("legacy", "native", "same"),
    [
        ("1994-11-06T08:49:37", "1994-11-06T08:49:37Z", True),
        ("1994-11-06T08:49:37", "1994-11-06T09:49:37+01:00", True),
        ("Sun Nov 06 1994 08:49:37 GMT+0000 (Coordinated Universal Time)", "1994-11-06T08:49:37Z", True),
        ("1994-11-06", "1994-11-07", False),
        ("64b7f0f0f0f0f0f0f0f0f0f0", "64B7F0F0F0F0F0F0F0F0F0F0", True),
        ("é", "e\u0301", True),
        ("e", "é", False),
    ],
)
def test_same_value_is_recognised_in_another_spelling(legacy: str, native: str, same: bool) -> None:
    assert is_same_value(legacy, native) is same
    assert is_same_value(native, legacy) is same


@pytest.mark.parametrize(
    ("legacy", "native", "kind"),
    [
        ("1994-11-06T08:49:37.000Z", "1994-11-06T08:49:37.001Z", "value"),
        ("1994-11-06T08:49:37.000Z", "1994-11-06T08:49:37Z", "format"),
        ("1994-11-06T08:49:37+00:00", "1994-11-06T09:49:37+01:00", "format"),
        ("1994-11-06T08:49:37+00:00", "1994-11-06T08:49:37+01:00", "value"),
        ("1994-11-06T08:49:37Z", "64b7f0f0f0f0f0f0f0f0f0f0", "type"),
    ],
)
def test_difference_of_dates_is_their_notation_or_their_time(legacy: str, native: str, kind: str) -> None:
    assert text_kind(legacy, native) == text_kind(native, legacy) == kind
