"""The times of a connection to legacy."""

from __future__ import annotations

import pytest

from proxy.backends.legacy.lifetime import DEFAULT_IDLE_LIMIT, Lifetime

LONG = 1000.0


@pytest.mark.parametrize(
    ("announced", "keep_alive", "max_age", "usable"),
    [
        (None, LONG, LONG, DEFAULT_IDLE_LIMIT),
        (6.0, LONG, LONG, 5.0),
        (0.5, LONG, LONG, 0.0),
        (6.0, 3.0, LONG, 3.0),
        (6.0, LONG, 12.0, 2.0),
    ],
)
def test_shortest_limit_bounds_the_idle_time(
    announced: float | None, keep_alive: float, max_age: float, usable: float
) -> None:
    lifetime = Lifetime(100.0)
    if announced is not None:
        lifetime.announce(announced)
    assert lifetime.rest(110.0, keep_alive, max_age)
    assert (lifetime.idle_since, lifetime.idle_until) == (110.0, 110.0 + usable)


def test_connection_at_its_maximum_age_is_not_reused() -> None:
    lifetime = Lifetime(100.0)
    assert not lifetime.rest(110.0, LONG, 10.0)
    assert not lifetime.used


def test_lifetime_is_used_after_its_first_exchange() -> None:
    lifetime = Lifetime(100.0)
    assert not lifetime.used
    lifetime.rest(101.0, LONG, LONG)
    assert lifetime.used
