"""Coverage of a search: answers by operation and status, and handshakes of conversations."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from proxy.comparison.answers import DecodedAnswer
from proxy.contract.bundle import load_bundle
from proxy.contract.model import Contract
from proxy.fuzz.conversation import FuzzConversation
from proxy.fuzz.coverage import FuzzCoverage
from proxy.fuzz.execution import Execution
from proxy.recordings.model import RecordedRequest, Scenario, Step

CONTRACT = Path(__file__).parents[3] / "contracts"


@functools.cache
def contract() -> Contract:
    loaded = load_bundle(CONTRACT).contract
    assert loaded is not None
    return loaded


def execution(*steps: Step, conversation: FuzzConversation | None = None, status: int | None = None) -> Execution:
    scenario = Scenario("drawn", steps, {}, [], {}, None)
    return Execution(scenario, (), conversation, handshake_status=status)


def samples(*executions: Execution) -> dict[tuple[str, str], int]:
    counted = FuzzCoverage()
    for one in executions:
        counted.count(one, contract())
    return {(row.operation.name, row.status): row.samples for row in counted.rows(contract()) if row.samples}


def test_answers_are_counted_by_operation_and_status() -> None:
    step = Step("1", RecordedRequest("GET", "/api/notes/1?a=b"), DecodedAnswer("response", 404))
    hang = Step("2", RecordedRequest("GET", "/api/notes/1"), DecodedAnswer("hang"))
    name = "GET /api/notes/{id}"
    assert samples(execution(step, step, hang)) == {(name, "404"): 2, (name, "hang"): 1}


@pytest.mark.parametrize(("status", "counted"), [(101, "101"), (401, "401"), (None, "reset")])
def test_conversation_is_counted_by_its_handshake(status: int | None, counted: str) -> None:
    conversation = FuzzConversation("/transcription-stream?token=x")
    drawn = execution(conversation=conversation, status=status)
    assert samples(drawn, drawn) == {("WS /transcription-stream", counted): 2}
