"""Times on the command line."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from proxy.cli.param_types import DurationParam, ShareParam, TimeParam


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/New_York"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use a local time zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-02", 86_400.0),
        ("1970-01-01T01:00", 3_600.0),
        ("1970-01-01T01:00Z", 3_600.0),
        ("1970-01-01T01:00+02:00", -3_600.0),
    ],
)
@pytest.mark.usefixtures("zone")
def test_time_without_an_offset_is_in_utc(text: str, expected: float) -> None:
    assert TimeParam().convert(text, None, None) == expected


def test_durations_are_in_seconds_and_shares_in_basis_points() -> None:
    assert DurationParam().convert("1.5m", None, None) == 90.0
    assert ShareParam().convert("2.5%", None, None) == 250
