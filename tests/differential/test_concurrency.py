"""The demo legacy and the native app answer requests alike that run at the same time on the same documents."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from starlette.types import ASGIApp

from proxy.fuzz.execution import Execution
from tests.differential.actions import Action
from tests.differential.concurrent_requests import (
    CONSULTATION,
    NOTE,
    PROMPT,
    REGISTER,
    TRANSCRIPT,
    interleaved_calls,
    interleavings,
    request,
)
from tests.differential.held_calls import HeldCalls
from tests.differential.interleaving import InterleavedDifferential, Interleaving, interleaved
from tests.differential.linked import SOUND
from tests.differential.outside_services import OddServices
from tests.differential.sides import sides
from tests.support.mongodb_relay import Relay
from tests.support.profile import examples

END = request("POST", f"/api/consultation/{CONSULTATION}/end", {"prompt_used": PROMPT})
ADD = request("POST", f"/api/notes/{CONSULTATION}", {"body": "New.", "transcriptId": TRANSCRIPT})
CHANGE = request("PATCH", f"/api/notes/{NOTE}", {"body": "Changed."})
DELETE = request("DELETE", f"/api/notes/{NOTE}")

BOTH_READ_FIRST = (0, 1, 0, 1)
SECOND_WITHIN_FIRST = (0, 1, 1, 0)


@dataclass(frozen=True)
class Harness:
    """Both backends, which run on the loop of `runner`."""

    runner: asyncio.Runner
    differential: InterleavedDifferential

    def play(self, interleaving: Interleaving) -> Execution:
        execution = self.runner.run(self.differential.run(interleaving))
        assert not execution.differing, f"{interleaving.describe()}\n{execution.describe()}"
        return execution


@pytest.fixture(scope="module")
def harness(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def start() -> Harness:
            relay = stack.enter_context(Relay(mongodb_url))
            relay.mend()
            log, name = tmp_path_factory.mktemp("concurrency") / "log", f"concurrency_{uuid.uuid4().hex[:8]}"
            calls: list[HeldCalls] = []

            def hold(services: ASGIApp) -> HeldCalls:
                calls.append(HeldCalls(OddServices(services)))
                return calls[-1]

            legacy, native = await stack.enter_async_context(sides(mongodb_url, log, name, relay.url, hold))
            return Harness(runner, await stack.enter_async_context(interleaved(legacy, native, relay, calls)))

        try:
            yield runner.run(start())
        finally:
            runner.run(stack.aclose())


@pytest.mark.parametrize(
    ("actions", "order", "statuses"),
    [
        ((CHANGE, DELETE), SECOND_WITHIN_FIRST, [500, 200]),
        ((CHANGE, DELETE), BOTH_READ_FIRST, [200, 200]),
        ((DELETE, DELETE), BOTH_READ_FIRST, [200, 200]),
        ((ADD, ADD), BOTH_READ_FIRST, [201, 201]),
        ((ADD, END), SECOND_WITHIN_FIRST, [201, 200]),
        ((END, END), BOTH_READ_FIRST, [200, 200]),
    ],
    ids=[
        "deleted-within-change",
        "changed-before-deletion",
        "deleted-twice",
        "two-notes",
        "ended-within-note",
        "ended",
    ],
)
def test_forced_order_has_equal_outcomes(
    harness: Harness,
    actions: tuple[Action, ...],
    order: tuple[int, ...],
    statuses: list[int],
) -> None:
    execution = harness.play(Interleaving(SOUND, actions, order))
    assert [step.answer.status for step in execution.scenario.steps] == statuses


def test_second_of_two_replaced_lists_conflicts(harness: Harness) -> None:
    documents = copy.deepcopy(SOUND)
    documents["consultations"][0]["notes"] = "none"  # type: ignore[index,call-overload]
    execution = harness.play(Interleaving(documents, (ADD, ADD), BOTH_READ_FIRST))
    first, second = (step.answer for step in execution.scenario.steps)
    assert first.status == 201
    assert "No matching document found" in second.text


def test_address_registered_twice_at_once_is_declared(harness: Harness) -> None:
    execution = harness.play(Interleaving({}, (REGISTER, REGISTER), BOTH_READ_FIRST))
    assert [result.declared for result in execution.results if result.declared] == [("register-race",)]


@pytest.mark.slow
@settings(max_examples=examples(100), phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(interleavings())
def test_any_order_has_equal_outcomes(harness: Harness, interleaving: Interleaving) -> None:
    harness.play(interleaving)


@settings(max_examples=examples(40), phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(interleaved_calls())
def test_any_order_around_calls_has_equal_outcomes(harness: Harness, interleaving: Interleaving) -> None:
    harness.play(interleaving)
