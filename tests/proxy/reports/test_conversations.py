"""Reports of WebSocket conversations, and their pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from proxy.capture.anonymizer import AnonymizerTerms, Unsuitable, step
from proxy.capture.pseudonyms import Pseudonyms
from proxy.comparison.conversation import ClientMessage, Conversation, Ending, ServerMessage
from proxy.comparison.conversations import compare_conversations
from proxy.contract.model import DeclaredAnswer, Operation
from proxy.contract.schemas import Schema
from proxy.reports import samples
from proxy.reports.events import ComparisonEvent
from proxy.reports.models import Sample
from proxy.reports.redaction import Mode, Redactor
from proxy.reports.side_by_side import rows
from proxy.shadow.conversation_comparator import reported
from proxy.types import JSON
from tests.support.exchanges import NOW, exchange

RECEIVED: JSON = {
    "type": "object",
    "properties": {"type": {"enum": ["hello", "text"], "x-report": "show"}, "text": {"type": "string"}},
}
CONTRACT = Operation("stream", "WS", "/stream", {"101": DeclaredAnswer()}, frames={"received": Schema(RECEIVED)})
PATIENT = "Agnes Nightingale"
AUDIO = "QUJD" * 500
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2lnbmF0dXJl"


def conversation(messages: Sequence[JSON], ending: Ending) -> Conversation:
    sent = ClientMessage(json.dumps({"type": "chunk", "audio": AUDIO, "note": PATIENT}), 1, 0.0)
    received = tuple(ServerMessage(json.dumps(each), min(index, 1)) for index, each in enumerate(messages))
    key = ((b"sec-websocket-key", b"a2V5"), (b"sec-websocket-protocol", f"bearer, {TOKEN}".encode()))
    return Conversation(exchange(b"", "", status=101, target="/stream", sent_headers=key), (sent,), received, ending)


LEGACY = conversation(
    [{"type": "hello"}, {"type": "text", "text": PATIENT, "patient": PATIENT}], Ending("server", 4000, PATIENT, 1, 9.0)
)
NATIVE = conversation(
    [{"type": "hello"}, {"type": "text", "text": 7, "patient": PATIENT}], Ending("server", 4001, "", 0)
)


def stored(mode: Mode = "full") -> tuple[Sample, str]:
    """Return the sample of the two conversations as it is read, and as it is written."""
    verdict = compare_conversations(LEGACY, NATIVE, CONTRACT)
    event = ComparisonEvent("stream", CONTRACT, "legacy", verdict, reported(LEGACY), reported(NATIVE))
    redactor = Redactor(b"0123456789abcdef", CONTRACT, mode=mode)
    document = samples.document(event, [("close.code", "value")], redactor, NOW)
    return samples.sample(document, set()), json.dumps(document["content"])


def test_differences_show_known_names_and_positions() -> None:
    sample, _ = stored()
    shown: dict[str, list[Any]] = {
        one.field: [side and side.value.get("value") for side in (one.legacy, one.native)] for one in sample.differences
    }
    assert shown == {
        "frames.*.text": [None, None],
        "close.code": ["4000", "4001"],
        "close.reason": [None, None],
        "close.after": ["1", "0"],
    }


def test_redacted_report_contains_no_content() -> None:
    _, written = stored()
    assert not any(secret in written for secret in (PATIENT, AUDIO[:50], "patient"))
    assert '\\"hello\\"' in written


def test_unredacted_report_contains_no_audio() -> None:
    _, written = stored("off")
    assert PATIENT in written
    assert not any(secret in written for secret in (AUDIO[:50], TOKEN))
    assert "sec-websocket-protocol" in written
    assert '\\"note\\"' not in written


def test_messages_are_rows_of_the_page() -> None:
    sample, _ = stored()
    assert (sample.request.body.form, sample.legacy.body.form) == ("frames", "frames")
    table = rows(sample)
    assert [row.name for row in table if row.depth < 2] == ["outcome", "status", "frames", "0", "1"]
    assert [(row.name, row.legacy.mark, row.native.mark) for row in table if row.marked] == [
        ("text", "different", "different")
    ]


def test_conversation_is_not_recorded_as_a_request() -> None:
    for each in (reported(LEGACY), LEGACY.handshake):
        with pytest.raises(Unsuitable):
            step(each, AnonymizerTerms("/stream", CONTRACT), Pseudonyms(b"0123456789abcdef", 0))
