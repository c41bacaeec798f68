"""Faults of each kind under simulated traffic: the guard caps the share if native alone is worse, and only then."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal

import pytest

from bench.alarms import CALLERS, FILE, simulation
from proxy.gateway.request_record import RequestRecord

SECONDS: Final = 100
"""More than the guard's window."""
Change = Callable[[RequestRecord, int], RequestRecord | None]
Backends = Literal["native", "legacy", "both"]
DRAWN: Final = random.Random(5)


def failing(share: float, backends: Backends = "native", **changes: object) -> Change:
    """Return a change of a share of the requests, at random."""

    def change(record: RequestRecord, second: int) -> RequestRecord:
        affected = backends in ("both", record.backend) and DRAWN.random() < share
        return replace(record, **changes) if affected else record  # type: ignore[arg-type]

    return change


def slower(factor: float, backends: Backends = "native", share: float = 1.0) -> Change:
    def change(record: RequestRecord, second: int) -> RequestRecord:
        affected = backends in ("both", record.backend) and DRAWN.random() < share
        return replace(record, head=record.head * factor) if affected else record

    return change


def sometimes(fault: Change, period: int, on: int) -> Change:
    """Return a fault during the first `on` of every `period` seconds."""
    return lambda record, second: fault(record, second) if second % period < on else record


def after(begin: int, fault: Change) -> Change:
    return lambda record, second: fault(record, second) if second > begin else record


def of_callers(fault: Change, number: int) -> Change:
    return lambda record, second: fault(record, second) if (record.caller or 0) < number else record


def without(backend: str, fault: Change) -> Change:
    return lambda record, second: None if record.backend == backend else fault(record, second)


def thinned(fault: Change, share: float) -> Change:
    return lambda record, second: fault(record, second) if DRAWN.random() < share else None


ERROR: Final = failing(0.1, status=500)
FAULTS: Final[dict[str, Change]] = {
    "500": ERROR,
    "every request": failing(1.0, status=503),
    "4xx": failing(0.2, status=404),
    "clients that disconnect": failing(0.2, status=499),
    "truncated answers": failing(0.1, failure="native_broken"),
    "errors that legacy took over": failing(0.1, backend="legacy", reason="native-error"),
    "four times as slow": slower(4.0),
    "a slow tail": slower(40.0, share=0.2),
    "flapping every ten seconds": sometimes(failing(0.2, status=500), 10, 5),
    "one bad second in ten": sometimes(failing(1.0, status=500), 10, 1),
    "a tenth of the callers": of_callers(failing(1.0, status=500), CALLERS // 40),
    "errors, while legacy has no requests": without("legacy", ERROR),
    "errors, while legacy has fewer": lambda record, second: (
        replace(record, status=500) if DRAWN.random() < (0.3 if record.backend == "native" else 0.02) else record
    ),
    "a dependency that fails for the whole window": failing(0.9, status=503, dependency="database"),
}
HARMLESS: Final[dict[str, Change]] = {
    "nothing": lambda record, second: record,
    "errors of legacy": failing(0.3, "legacy", status=500),
    "errors of both": failing(0.1, "both", status=500),
    "4xx of both": failing(0.2, "both", status=404),
    "declared 4xx": failing(0.3, status=404, declared=True),
    "both as slow": slower(5.0, "both"),
    "slow legacy": slower(5.0, "legacy"),
    "fast native": slower(0.1),
    "hardly slower": slower(1.3),
    "one caller": of_callers(failing(1.0, status=500), 1),
    "overrides": failing(0.3, status=500, reason="override"),
    "failures of the gateway": failing(0.3, status=503, failure="gateway_overloaded"),
    "few requests": thinned(after(70, failing(0.5, status=500)), 0.01),
    "no requests": lambda record, second: None,
    "a brief failure of a dependency": sometimes(failing(0.9, status=503, dependency="model"), SECONDS, 20),
    "another route": failing(0.5, status=500, route="b"),
}


async def seconds_until_cap(change: Change, jump: int = 1) -> tuple[int, str]:
    DRAWN.seed(5)
    async with simulation(seed=7, pool=1) as simulated:
        return simulated.changed(change, SECONDS, jump), simulated.cap


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_of_native_is_capped(fault: str) -> None:
    seconds, reason = await seconds_until_cap(FAULTS[fault])
    assert seconds <= SECONDS
    assert reason


@pytest.mark.parametrize("event", HARMLESS)
async def test_event_that_is_no_fault_of_native_caps_nothing(event: str) -> None:
    assert await seconds_until_cap(HARMLESS[event]) == (SECONDS + 1, "")


@pytest.mark.parametrize("jump", [-3600, -5, 0, 30, 86_400])
async def test_jump_of_the_clock_hides_no_fault_and_makes_none(jump: int) -> None:
    assert await seconds_until_cap(HARMLESS["nothing"], jump) == (SECONDS + 1, "")
    late = after(SECONDS // 2 + 3, ERROR)
    assert (await seconds_until_cap(late, jump))[0] <= SECONDS


@pytest.mark.parametrize(("limit", "differing", "capped"), [("1%", 3, True), ("50%", 3, False), ("", 10, False)])
async def test_mismatches_are_capped_where_a_limit_is_set(limit: str, differing: int, capped: bool) -> None:
    file = FILE.replace("guard: {}", f"guard: {{mismatch: {limit}}}") if limit else FILE
    async with simulation(seed=7, pool=1, file=file) as simulated:
        for _ in range(SECONDS):
            simulated.compared("mismatch", differing)
            simulated.compared("match", 10 - differing)
            simulated.changed(HARMLESS["nothing"], 1)
        assert bool(simulated.cap) is capped
