"""Conversations in parts: all of them to one process, and none to the next."""

from __future__ import annotations

import asyncio

from proxy.comparison.conversation import Chunk, RawConversation
from proxy.shadow.conversation_sender import PART_SIZE, ConversationSender
from proxy.shadow.messages import CompareConversation, ConversationPart
from tests.support.exchanges import exchange
from tests.support.shadowed_requests import CONNECTION

CHUNKS = [Chunk(bool(index % 2), float(index), bytes([index]) * 100_000) for index in range(8)]
JOB = CompareConversation(7, "stream", CONNECTION, RawConversation(exchange(status=101), 0.0, CHUNKS), 99.0)


async def test_conversation_is_sent_in_parts() -> None:
    sent: list[ConversationPart | CompareConversation] = []
    ConversationSender(sent.append, lambda number: number == 7).submit(JOB)
    while not sent or isinstance(sent[-1], ConversationPart):
        await asyncio.sleep(0.005)
    *parts, last = sent
    assert isinstance(last, CompareConversation)
    assert (last.number, last.raw.chunks) == (7, ())
    assert len(parts) > 3
    chunks = [part.chunks for part in parts if isinstance(part, ConversationPart)]
    assert b"".join(chunk.data for each in chunks for chunk in each) == b"".join(chunk.data for chunk in CHUNKS)
    assert all(sum(chunk.cost for chunk in each) <= PART_SIZE for each in chunks)


async def test_removed_conversation_is_not_completed() -> None:
    sent: list[ConversationPart | CompareConversation] = []
    ConversationSender(sent.append, lambda number: not sent).submit(JOB)
    await asyncio.sleep(0.05)
    assert [type(each) for each in sent] == [ConversationPart]


async def test_cancelled_sender_sends_nothing_more() -> None:
    sent: list[ConversationPart | CompareConversation] = []
    sender = ConversationSender(sent.append, lambda number: True)
    sender.submit(JOB)
    await asyncio.sleep(0)
    sender.cancel()
    await asyncio.sleep(0.05)
    assert len(sent) == 1
