"""Confirmations are limited in number and time."""

from __future__ import annotations

from proxy.comparison.exchanges import compare
from proxy.reports.events import ComparisonEvent
from proxy.shadow.confirmation import CONFIRMATION_TTL, MAX_CONFIRMATIONS, ConfirmationCache
from tests.support.exchanges import answered


def event(field: str) -> ComparisonEvent:
    legacy, native = answered({field: 1}), answered({field: 2})
    return ComparisonEvent("r", None, "legacy", compare(legacy, native), legacy, native)


def test_confirmations_have_a_rate_limit() -> None:
    now = 1000.0
    cache = ConfirmationCache(lambda: now)
    needed = [cache.needs_confirmation(event(f"a{number}")) for number in range(MAX_CONFIRMATIONS + 5)]
    assert needed == [True] * MAX_CONFIRMATIONS + [False] * 5
    now += 1
    assert cache.needs_confirmation(event("a"))


def test_confirmed_difference_expires() -> None:
    now = 1000.0
    cache = ConfirmationCache(lambda: now)
    cache.add(event("a"))
    assert not cache.needs_confirmation(event("a"))
    assert cache.needs_confirmation(event("b"))
    now += CONFIRMATION_TTL
    assert cache.needs_confirmation(event("a"))


def test_cache_of_confirmed_differences_is_bounded() -> None:
    cache = ConfirmationCache(max_confirmed=0)
    for name in ("a", "b"):
        cache.add(event(name))
    assert cache.needs_confirmation(event("a"))
