"""The times at which a rollout may be promoted, as routing.yaml gives them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from proxy.config.loading import parse
from proxy.config.problems import ConfigError
from proxy.config.promotion_window import HORIZON, PromotionWindow

HEAD = "legacy: {url: http://x}\nnative: a:b\nroutes:\n- {name: a, match: GET /a, rollout: "


def window(**values: object) -> PromotionWindow:
    return PromotionWindow.model_validate({"zone": "UTC", **values})


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        ("2026-11-30T08:00+00:00", "2026-11-30T09:00+00:00"),
        ("2026-11-30T12:00+00:00", "2026-11-30T12:00+00:00"),
        ("2026-11-30T17:00+00:00", "2026-12-02T09:00+00:00"),
        ("2026-12-05T12:00+00:00", "2026-12-07T09:00+00:00"),
    ],
)
def test_next_opening_skips_days_hours_and_dates(moment: str, opens: str) -> None:
    given_window = window(days="mon-fri", hours="09:00-17:00", never_on=["2026-12-01"])
    assert given_window.next_open(at(moment)) == at(opens)


@pytest.mark.parametrize(
    ("zone", "opens"),
    [("Europe/London", "09:00+00:00"), ("America/New_York", "14:00+00:00"), ("Asia/Tokyo", "00:00+00:00")],
)
def test_hours_are_those_of_the_zone(zone: str, opens: str) -> None:
    assert window(hours="09:00-17:00", zone=zone).next_open(at("2026-11-30T00:00+00:00")) == at(f"2026-11-30T{opens}")


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_day_on_which_the_clocks_change_is_a_whole_day(day: str, hours: int) -> None:
    # The window is closed before midnight and after the next one, in local time.
    start = datetime.fromisoformat(day)
    never = [(start + timedelta(days=offset)).date().isoformat() for offset in (-1, 1)]
    london = window(zone="Europe/London", never_on=never)
    opens = london.next_open(at(f"{never[0]}T12:00+00:00"))
    assert opens is not None
    closed = next(hour for hour in range(30) if not london.is_open(opens + hour * 3600))
    assert closed == hours


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(["UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    st.sampled_from(["00:00-24:00", "09:00-17:00", "01:30-02:30", "23:00-24:00"]),
    st.sampled_from(["mon", "sat-sun", "fri-mon", "mon, wed, fri"]),
)
def test_window_is_open_at_its_next_opening(moment: datetime, zone: str, hours: str, days: str) -> None:
    chosen = window(zone=zone, hours=hours, days=days)
    opens = chosen.next_open(moment.timestamp())
    assert opens is not None
    assert moment.timestamp() <= opens <= moment.timestamp() + 8 * 86_400
    assert chosen.is_open(opens)


def test_window_that_never_opens_has_no_opening() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    every = [(start + timedelta(days=day)).date().isoformat() for day in range(HORIZON + 2)]
    assert window(never_on=every).next_open(start.timestamp()) is None
    assert not window(never_on=every).is_open(start.timestamp())


@pytest.mark.parametrize(
    ("rollout", "expected"),
    [
        ("{days: mon-fri}", "window.zone: is missing"),
        (
            "{zone: Europe/Lodnon}",
            "window.zone: must be a time zone, as in Europe/London or UTC; did you mean Europe/London?",
        ),
        ("{zone: UTC, days: [mon, tues, x]}", "window.days: must be days such as mon-fri or sat, not 'x'"),
        ("{zone: UTC, days: mo-thu}", "window.days: must be days such as mon-fri or sat, not 'mo-thu'"),
        ("{zone: UTC, days: []}", "window.days: must hold at least one day, as in mon-fri"),
        (
            "{zone: UTC, hours: 9-17}",
            "window.hours: must be hours of the day, as in 09:00-17:00; did you mean 09:00-17:00?",
        ),
        (
            "{zone: UTC, hours: 8 - 17:30}",
            "window.hours: must be hours of the day, as in 09:00-17:00; did you mean 08:00-17:30?",
        ),
        ("{zone: UTC, hours: 17-9}", "window.hours: must be hours of the day, as in 09:00-17:00, not '17-9'"),
        (
            "{zone: UTC, hours: '17:00-09:00'}",
            "window.hours: must end after they begin, on the same day, not '17:00-09:00'",
        ),
        ("{zone: UTC, hours: '09:00-24:01'}", "window.hours: hours are from 00:00 to 24:00, not '09:00-24:01'"),
        (
            "{zone: UTC, never_on: [25.12.2026]}",
            "window.never_on[#1]: must be a date, as in 2026-12-25, not '25.12.2026'",
        ),
        (
            "{zone: UTC, never_on: 2026-02-30}",
            "window.never_on: must be a date, as in 2026-12-25, not '2026-02-30'",
        ),
        ("{zone: UTC, except: 2026-02-30}", "window.except: unknown key; known here: days, hours, zone, never_on"),
        ("start_at: 25%", "start_at: must be one of the stages: 1%, 10%, not '25%'"),
        ("stages: [1%, {share: 10%, bake: 1d}]", "stages[#2].bake: unknown key; did you mean `bake_time`?"),
        ("stages: [1%, {bake_time: 1d}]", "stages[#2].share: is missing"),
        ("stages: [10%, {share: 1%}]", "stages: stages must go up: 1% comes after 10%"),
    ],
)
def test_invalid_window_is_reported(rollout: str, expected: str) -> None:
    given = f"window: {rollout}" if rollout.startswith("{") else rollout
    text = given if given.startswith("stages") else f"stages: [1%, 10%], {given}"
    with pytest.raises(ConfigError) as caught:
        parse(f"{HEAD}{{{text}}}}}\n", {})
    assert [f"{each.where}: {each.message}" for each in caught.value.problems] == [f"routes[a].rollout.{expected}"]


def test_parsed_values_are_accepted() -> None:
    once = window(days="fri-mon", hours="09:00-17:00", never_on="2026-12-25, 2026-12-24, 2026-12-25")
    assert once.days == (0, 4, 5, 6)
    assert [str(day) for day in once.never_on] == ["2026-12-24", "2026-12-25"]
    assert hash(once) == hash(window(days="fri-mon", hours="09:00-17:00", never_on="2026-12-24, 2026-12-25"))
    with pytest.raises(ValidationError):
        PromotionWindow.model_validate({})
