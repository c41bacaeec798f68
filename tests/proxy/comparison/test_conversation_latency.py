"""A server's latency alone is never a difference, whenever its client sends and disconnects."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hypothesis import example, given
from hypothesis import strategies as st

from proxy.comparison.conversation import ClientMessage, Conversation, Ending, ServerMessage
from proxy.comparison.conversations import BURST, PROMPT, compare_conversations
from tests.support.exchanges import exchange

HANDSHAKE = exchange(b"", "", status=101, target="/stream")


@dataclass(frozen=True)
class ClientStep:
    """One message of the client, `gap` seconds after the one before; `kinds` answer it after `latency` seconds."""

    gap: float
    latency: float
    kinds: tuple[str, ...]


steps = st.lists(
    st.builds(
        ClientStep,
        gap=st.floats(0, 2 * PROMPT),
        latency=st.floats(0, 0.95 * PROMPT),
        kinds=st.lists(st.sampled_from("abc"), max_size=3).map(tuple),
    ),
    max_size=8,
)


def served(conversation: list[ClientStep], stay: float) -> Conversation:
    """Return what a server says that answers in order; its client leaves `stay` seconds after its last message."""
    events: list[tuple[float, int, str]] = []
    now, free = 0.0, 0.0
    for number, step in enumerate(conversation):
        now += step.gap
        free = max(free, now + step.latency)
        events.append((now, 0, str(number)))
        events += [(free, 1, json.dumps({"type": kind, "to": number})) for kind in step.kinds]
    sent, received = list[ClientMessage](), list[ServerMessage]()
    for at, by_server, data in sorted(events, key=lambda event: event[:2]):
        if by_server and at <= now + stay:
            received.append(ServerMessage(data, len(sent), at))
        elif not by_server:
            sent.append(ClientMessage(data, len(received), at))
    return Conversation(HANDSHAKE, tuple(sent), tuple(received), Ending("client", 1000, "", len(sent), now + stay))


def replayed(conversation: list[ClientStep]) -> Conversation:
    """Return the replay on a server that answers at once."""
    received = [
        ServerMessage(json.dumps({"type": kind, "to": number}), number + 1)
        for number, step in enumerate(conversation)
        for kind in step.kinds
    ]
    sent = [ClientMessage(str(number), 0) for number in range(len(conversation))]
    return Conversation(HANDSHAKE, tuple(sent), tuple(received), Ending("client", 1000))


@given(steps, st.floats(0, 2 * PROMPT))
@example([ClientStep(0, 0.5, ("a",)), ClientStep(0.1, 0.85, ("b",))], 0.7)
def test_latency_is_not_a_difference(conversation: list[ClientStep], stay: float) -> None:
    verdict = compare_conversations(served(conversation, stay), replayed(conversation))
    assert [(one.location, one.kind) for one in verdict.differences] == []


@given(steps.filter(lambda each: any(step.kinds for step in each)), st.data())
def test_lost_message_is_always_named(conversation: list[ClientStep], data: st.DataObject) -> None:
    legacy, native = served(conversation, 2 * PROMPT), replayed(conversation)
    index = data.draw(st.integers(0, len(native.received) - 1))
    incomplete = Conversation(
        HANDSHAKE, native.sent, native.received[:index] + native.received[index + 1 :], native.ending
    )
    kinds = {(one.field, one.kind) for one in compare_conversations(legacy, incomplete).differences}
    assert kinds == {("frames.*", "missing")}


@given(steps, st.data())
def test_extra_message_is_always_named(conversation: list[ClientStep], data: st.DataObject) -> None:
    legacy, native = served(conversation, 2 * PROMPT + BURST), replayed(conversation)
    index = data.draw(st.integers(0, len(native.received)))
    after = native.received[index].after if index < len(native.received) else len(native.sent)
    extra = (*native.received[:index], ServerMessage('{"type":"x"}', after), *native.received[index:])
    kinds = {
        (one.field, one.kind)
        for one in compare_conversations(legacy, Conversation(HANDSHAKE, native.sent, extra, native.ending)).differences
    }
    assert kinds == {("frames.*", "extra")}
