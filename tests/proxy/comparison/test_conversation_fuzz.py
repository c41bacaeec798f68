"""Random bytes of both ends never make the reader or the comparison fail."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.comparison.conversation import (
    Chunk,
    Conversation,
    ConversationTooLargeError,
    Ending,
    RawConversation,
    ServerMessage,
    UnreadableConversationError,
    read_conversation,
)
from proxy.comparison.conversations import compare_conversations
from proxy.comparison.messages import values_of
from tests.support.exchanges import exchange

HANDSHAKE = exchange(b"", "", status=101, target="/stream")
chunks = st.lists(st.builds(Chunk, st.booleans(), st.floats(0, 9), st.binary(max_size=40)), max_size=8)
extensions = st.sampled_from(["", "permessage-deflate", "permessage-deflate; server_no_context_takeover", "x-other"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("type"), inner, max_size=3)
    ),
    max_leaves=8,
)
messages = st.lists(values.map(json.dumps) | st.text(max_size=20) | st.binary(max_size=20), max_size=6)
DEEP = [
    "[" * 990 + "]" * 990,
    '{"a":' * 5000 + "1" + "}" * 5000,
    "[" * 100_000,
    '{"type":' + "[" * 195 + "]" * 195 + "}",
]


@given(chunks, extensions)
def test_random_bytes_are_read_or_refused(sent: list[Chunk], extension: str) -> None:
    headers = ((b"sec-websocket-extensions", extension.encode()),) if extension else ()
    accepted = HANDSHAKE._replace(headers=headers)
    with contextlib.suppress(UnreadableConversationError, ConversationTooLargeError):
        read = read_conversation(RawConversation(accepted, 0.0, sent), 5)
        assert compare_conversations(read, read).name == "match"


def of(sent: list[str | bytes]) -> Conversation:
    return Conversation(HANDSHAKE, (), tuple(ServerMessage(each, 0) for each in sent), Ending("client", 1000))


@given(messages, messages)
def test_random_messages_are_compared(legacy: list[str | bytes], native: list[str | bytes]) -> None:
    assert compare_conversations(of(legacy), of(legacy)).name == "match"
    compare_conversations(of(legacy), of(native))
    json.dumps(values_of(legacy))


@pytest.mark.parametrize("text", DEEP, ids=["list", "object", "unclosed", "shallow"])
def test_deep_messages_are_compared(text: str) -> None:
    assert compare_conversations(of([text]), of([text])).name == "match"
    assert compare_conversations(of([text]), of([text.replace("[", "[1,", 1)])).name in ("match", "mismatch")
    json.dumps(values_of([text]))
