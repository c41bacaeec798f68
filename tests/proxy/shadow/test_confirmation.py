"""Confirmations are limited in number and time."""

from __future__ import annotations

import asyncio

import pytest

from proxy.comparison.exchanges import compare
from proxy.comparison.verdicts import Verdict
from proxy.contract.values import ContractViolation
from proxy.reports.events import ComparisonEvent
from proxy.shadow.confirmation import CONFIRMATION_TTL, MAX_CONFIRMATIONS, MAX_WAIT, ConfirmationCache, reduced
from tests.support.exchanges import answered


def event(*fields: str) -> ComparisonEvent:
    legacy, native = answered(dict.fromkeys(fields, 1)), answered(dict.fromkeys(fields, 2))
    return ComparisonEvent("r", None, "legacy", compare(legacy, native), legacy, native)


def add(cache: ConfirmationCache, field: str) -> None:
    one = event(field)
    cache.add(one, one.verdict.unexplained)


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_confirmation_beyond_the_rate_waits() -> None:
    time = Time()
    cache = ConfirmationCache(time.clock, time.sleep)
    assert [await cache.acquire(event("a")) for _ in range(MAX_CONFIRMATIONS)] == [True] * MAX_CONFIRMATIONS
    assert time.now == 1000
    assert await cache.acquire(event("a"))
    assert 1001 <= time.now < 1002


async def test_confirmation_is_given_up() -> None:
    time = Time()
    cache = ConfirmationCache(time.clock, time.sleep, max_confirmations=0)
    add(cache, "a")
    assert not await cache.acquire(event("a"))
    assert time.now == 1000
    assert not await cache.acquire(event("b"))
    assert time.now >= 1000 + MAX_WAIT
    assert not await ConfirmationCache(max_waiting=0).acquire(event("c"))


async def test_abandoned_confirmation_does_not_wait_any_more() -> None:
    time = Time()
    cache = ConfirmationCache(time.clock, time.sleep, max_confirmations=0, max_waiting=2)
    for number in range(1, 6):
        assert not await cache.acquire(event("a"))
        assert time.now >= 1000 + number * MAX_WAIT

    async def cancel(seconds: float) -> None:
        raise asyncio.CancelledError

    cache = ConfirmationCache(time.clock, cancel, max_confirmations=0, max_waiting=2)
    for _ in range(5):
        with pytest.raises(asyncio.CancelledError):
            await cache.acquire(event("a"))


def test_confirmed_difference_expires() -> None:
    now = 1000.0
    cache = ConfirmationCache(lambda: now)
    add(cache, "a")
    assert [one.field for one in cache.confirmed(event("a", "b"))] == ["body.a"]
    now += CONFIRMATION_TTL
    assert cache.confirmed(event("a")) == ()


def test_cache_of_confirmed_differences_is_bounded() -> None:
    cache = ConfirmationCache(max_confirmed=0)
    for name in ("a", "b"):
        add(cache, name)
    assert cache.confirmed(event("a")) == ()


def test_unconfirmed_differences_are_dropped() -> None:
    verdict = event("a", "b").verdict
    first, second = verdict.unexplained
    assert reduced(verdict, verdict.unexplained) is verdict
    assert reduced(verdict, [second]) == Verdict("mismatch", (second,), (second,))
    assert reduced(verdict, []) == Verdict("skipped", reason="changed")
    assert reduced(verdict, [], "timeout").reason == "timeout"
    violation = ContractViolation(("body", "a"), "type", "native")
    violated = Verdict("mismatch", (first, second), (first, second), violations=(violation,))
    assert reduced(violated, []) == Verdict("violation", violations=(violation,))
