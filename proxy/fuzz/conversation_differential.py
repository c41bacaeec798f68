"""Run one conversation on two backends in turn, and compare handshakes, frames, their positions and the end.

The order of frames relative to the client's depends on the speed of outside services. A conversation that differs is
therefore repeated twice, with more time for each frame, before the difference counts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.comparison.correspondence import Correspondence
from proxy.contract.divergences import Divergence, Occurrence, operation_of
from proxy.fuzz.conversation import FuzzConversation, PlayedConversation, compare_conversations
from proxy.fuzz.conversation_client import ConversationPace, converse
from proxy.fuzz.execution import ABOUT, Execution
from proxy.recordings.clock import RecordedClock
from proxy.recordings.compare_side_effects import compare_calls
from proxy.recordings.model import Scenario
from proxy.recordings.raw_http import Origin
from proxy.recordings.report import CALLS, Result
from proxy.recordings.side_effects import OutsideCalls
from proxy.types import JSON

SLOWER: Final = (3.0, 10.0)
"""Factors of the time for each frame in repeated conversations."""
NAME: Final = "fuzz-conversation"


@dataclass(frozen=True)
class ConversationEnd:
    """One backend: its address, and its calls to outside services if they can be read."""

    origin: Origin
    calls: OutsideCalls | None

    async def play(
        self, conversation: FuzzConversation, pace: ConversationPace, like: PlayedConversation | None = None
    ) -> PlayedConversation:
        """Clear the outside calls and play a conversation. Raises OSError if nothing accepts the connection."""
        if self.calls:
            await self.calls.clear()
        return await converse(self.origin, conversation, pace, like)

    async def read_calls(self) -> list[JSON]:
        """Return the outside calls of the conversation."""
        return await self.calls.read() if self.calls else []


class ConversationDifferential:
    """Two backends for conversations, and the divergences that are declared."""

    def __init__(self, legacy: ConversationEnd, native: ConversationEnd, divergences: Sequence[Divergence]) -> None:
        self._ends = (legacy, native)
        self._divergences = divergences

    async def run(self, conversation: FuzzConversation) -> Execution:
        """Play a conversation to both; if they differ, repeat it more slowly."""
        execution = await self._run(conversation, ConversationPace())
        for factor in SLOWER:
            if not execution.differing:
                break
            execution = await self._run(conversation, ConversationPace().slower(factor))
        return execution

    async def repeat(self, execution: Execution) -> Execution:
        """Play a conversation again, with the most time for each frame."""
        assert execution.conversation is not None
        return await self._run(execution.conversation, ConversationPace().slower(SLOWER[-1]))

    async def _run(self, conversation: FuzzConversation, pace: ConversationPace) -> Execution:
        legacy, native = self._ends
        answered = await legacy.play(conversation, pace)
        repeated = await native.play(conversation, pace, answered)
        calls = await legacy.read_calls()
        own_calls = await native.read_calls()
        moment = time.time_ns() // 1_000_000
        names = Correspondence(moment, moment)
        target = conversation.target
        result = Result("conversation", NAME, "", operation_of("WS", target), target)
        results = (
            result.judged(
                compare_conversations(answered, repeated, names), Occurrence(result.endpoint, NAME), self._divergences
            ),
            Result("calls", NAME, "", CALLS).judged(
                compare_calls(calls, own_calls, names), Occurrence("CALLS", NAME), self._divergences
            ),
        )
        scenario = Scenario(NAME, (), {}, calls, {}, RecordedClock(moment), ABOUT)
        return Execution(scenario, results, conversation, tuple(answered.values), answered.status)
