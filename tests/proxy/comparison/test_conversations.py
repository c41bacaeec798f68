"""Verdicts on conversations: late, early and extra messages, closes, and undecidable cases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from proxy.comparison.conversation import ClientMessage, Conversation, Ending, ServerMessage
from proxy.comparison.conversations import compare_conversations
from proxy.comparison.messages import outline, values_of
from proxy.comparison.verdicts import Verdict
from proxy.contract.divergences import Case, Divergence
from proxy.contract.model import DeclaredAnswer, Operation
from proxy.contract.schemas import Schema
from proxy.types import JSON
from tests.support.exchanges import exchange

Sent = Sequence[float]
Received = Sequence[tuple[JSON, int, float]]

HANDSHAKE = exchange(b"", "", status=101, target="/stream")
END = Ending("client", 1000, after=2, at=9.0)
OPERATION = Operation(
    "stream",
    "WS",
    "/stream",
    {"101": DeclaredAnswer()},
    frames={
        "received": Schema(
            {
                "type": "object",
                "properties": {"type": {"enum": ["a", "b"]}, "text": {"type": "string", "x-compare": "ignore"}},
            }
        )
    },
)


def conversation(received: Received, sent: Sent = (1.0, 2.0), ending: Ending | None = END) -> Conversation:
    """Return a conversation in which the client sent at these times; messages have a value, a position and a time."""
    questions = tuple(ClientMessage("q", 0, at) for at in sent)
    answered = tuple(ServerMessage(json.dumps(value), after, at) for value, after, at in received)
    return Conversation(HANDSHAKE, questions, answered, ending)


def differences(legacy: Conversation, native: Conversation) -> list[tuple[str, str]]:
    return [(one.field, one.kind) for one in compare_conversations(legacy, native).differences]


def kinds(*received: tuple[str, int, float]) -> list[tuple[JSON, int, float]]:
    return [({"type": kind}, after, at) for kind, after, at in received]


@pytest.mark.parametrize(
    ("legacy", "native", "expected"),
    [
        ([("a", 1, 1.1)], [("a", 1, 0.0)], []),
        ([("a", 1, 1.1)], [("a", 2, 0.0)], [("frames.*.after", "order")]),
        ([("a", 2, 3.1)], [("a", 1, 0.0)], [("frames.*.after", "order")]),
        ([("a", 2, 2.9)], [("a", 1, 0.0)], []),
        ([("a", 2, 1.9)], [("a", 0, 0.0)], []),
    ],
    ids=["in place", "late", "early", "early, or legacy was slow", "early, or slow from the start"],
)
def test_positions_are_compared_within_the_observed_time(
    legacy: list[tuple[str, int, float]], native: list[tuple[str, int, float]], expected: list[tuple[str, str]]
) -> None:
    assert differences(conversation(kinds(*legacy)), conversation(kinds(*native))) == expected


@pytest.mark.parametrize(
    ("legacy", "end", "expected"),
    [
        ([("a", 1, 1.1)], 4.1, True),
        ([("a", 1, 1.1)], 3.9, False),
        ([("a", 1, 1.1), ("c", 2, 2.4)], 2.5, True),
        ([("a", 1, 1.1), ("c", 2, 2.48)], 2.5, False),
    ],
    ids=["legacy was silent", "the client left", "legacy had answered", "the client left amid the answer"],
)
def test_extra_message_counts_within_legacys_time(
    legacy: list[tuple[str, int, float]], end: float, expected: bool
) -> None:
    served = conversation(kinds(*legacy), ending=replace(END, at=end))
    replayed = conversation(kinds(*legacy, ("b", 2, 0.0)))
    assert differences(served, replayed) == [("frames.*", "extra")] * expected


def test_extra_message_before_one_of_legacys_always_counts() -> None:
    served = conversation(kinds(("a", 2, 2.1)), ending=replace(END, at=2.1))
    assert differences(served, conversation(kinds(("x", 2, 0.0), ("a", 2, 0.0)))) == [("frames.*", "extra")]


SERVER_END = Ending("server", 4000, "bye", after=2, at=3.1)


@pytest.mark.parametrize(
    ("legacy", "native", "expected"),
    [
        (SERVER_END, SERVER_END, []),
        (SERVER_END, replace(SERVER_END, code=1000), [("close.code", "value")]),
        (SERVER_END, replace(SERVER_END, reason=""), [("close.reason", "value")]),
        (SERVER_END, None, [("close", "missing")]),
        (SERVER_END, replace(SERVER_END, after=1), [("close.after", "order")]),
        (replace(SERVER_END, at=2.9), replace(SERVER_END, after=1), []),
        (replace(SERVER_END, after=1), SERVER_END, [("close.after", "order")]),
        (END, SERVER_END, [("close", "extra")]),
        (replace(END, at=2.5), SERVER_END, []),
        (None, SERVER_END, []),
    ],
    ids=[
        "same",
        "code",
        "reason",
        "never",
        "early",
        "early, or slow",
        "late",
        "extra",
        "the client left",
        "unfinished",
    ],
)
def test_closes_by_the_server_are_compared(
    legacy: Ending | None, native: Ending | None, expected: list[tuple[str, str]]
) -> None:
    assert differences(conversation([], ending=legacy), conversation([], ending=native)) == expected


def test_messages_after_an_early_close_are_not_missing() -> None:
    served = conversation(kinds(("a", 1, 1.0), ("b", 2, 2.1)), ending=replace(END, at=2.11))
    replayed = conversation(kinds(("a", 1, 0.0)), ending=replace(SERVER_END, after=1))
    assert differences(served, replayed) == [("close", "extra")]


def test_refusal_is_the_only_difference() -> None:
    refused = replace(conversation([]), handshake=exchange(b"no", status=401, target="/stream"))
    served = conversation(kinds(("a", 0, 0.0)))
    assert differences(served, refused) == differences(refused, served) == [("status", "status")]
    assert differences(refused, refused) == []


def test_ids_and_dates_correspond_by_their_role() -> None:
    def greeting(moment: int, suffix: str) -> Received:
        stamp = f"conn-{moment}-{suffix}"
        return [({"type": "hello", "id": stamp}, 0, 0.0), ({"type": "again", "id": stamp}, 1, 5.0)]

    served, replayed = greeting(1_795_376_469_000, "abcdefghi"), greeting(1_795_376_470_000, "jklmnopqr")
    assert differences(conversation(served), conversation(replayed)) == []
    other: Received = [replayed[0], ({"type": "again", "id": "conn-1795376470000-zzzzzzzzz"}, 1, 0.0)]
    assert differences(conversation(served), conversation(other)) == [("frames.*.id", "value")]


def test_ids_of_the_client_correspond_to_themselves() -> None:
    identities = [f"conn-{1_795_376_469_000 + number}-abcdefghi" for number in range(2)]
    pair = [conversation([({"type": "a", "id": each}, 1, 1.0)], sent=(0.0,)) for each in identities]
    assert differences(*pair) == []
    sent = (ClientMessage(json.dumps({"id": identities[0]}), 0, 0.0),)
    assert differences(*(replace(each, sent=sent) for each in pair)) == [("frames.*.id", "value")]


def verdict(legacy: JSON, native: JSON, *divergences: Divergence) -> Verdict:
    one, other = conversation([(legacy, 1, 1.0)]), conversation([(native, 1, 0.0)])
    return compare_conversations(one, other, OPERATION, divergences)


def test_contract_redacts_texts_and_finds_violations() -> None:
    hidden = verdict({"type": "a", "text": "x"}, {"type": "a", "text": "y"})
    assert (hidden.name, hidden.hidden) == ("match", (("frames", "*", "text"),))
    broken = verdict({"type": "c"}, {"type": "c"})
    assert broken.name == "violation"
    assert [(one.backend, one.path) for one in broken.violations] == [
        (backend, ("frames", 0, "type")) for backend in ("legacy", "native")
    ]


def test_divergence_declares_a_difference() -> None:
    entry = Divergence(
        id="b", operation="WS /stream", legacy="a", native="b", reason="r", since="1", when=(Case(paths=("frames.*",)),)
    )
    assert verdict({"type": "a"}, {"type": "b"}, entry).name == "declared"
    assert verdict({"type": "a"}, {"type": "b"}).name == "mismatch"


def test_deeply_nested_messages_are_compared_as_texts() -> None:
    deep = "[" * 300 + "1" + "]" * 300
    one, other = (
        replace(conversation([]), received=(ServerMessage(text, 0),)) for text in (deep, deep.replace("1", "2"))
    )
    assert differences(one, one) == []
    assert differences(one, other) == [("frames.*", "value")]


def test_payloads_are_represented_by_length_and_digest() -> None:
    audio = "QUJD" * 400
    (value, binary) = values_of([json.dumps({"audio": audio, "words": "a b " * 400}), audio.encode()])
    assert isinstance(value, dict)
    assert str(value["audio"]).startswith("1600 characters, sha256 ")
    assert value["words"] == "a b " * 400
    assert str(binary).startswith("1600 bytes, sha256 ")
    assert outline(json.dumps({"type": "chunk", "audio": audio})) == {"type": "chunk", "length": 1630}
    assert outline(json.dumps({"type": "Ann Smith " * 20})) == {"length": 212}
    assert outline(b"abc") == {"length": 3}


def test_payloads_that_differ_are_a_difference() -> None:
    one, other = (conversation([({"audio": letter * 2000}, 0, 0.0)]) for letter in "ab")
    served = compare_conversations(one, other)
    assert [(each.field, each.kind) for each in served.differences] == [("frames.*.audio", "value")]
    assert "aaaa" not in str(served.differences[0].legacy and served.differences[0].legacy.value)
