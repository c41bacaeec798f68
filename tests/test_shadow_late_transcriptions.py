"""Whenever legacy's model answers, the conversation is no mismatch of the sound native app, and faults are named.

The native app is real and runs dry. Legacy is a model of the demo's, in virtual time, because Node has no seed.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handlers.legacy.recorded_model import DryTranscriptionStream
from proxy.backends.native import Native
from proxy.comparison.conversation import Conversation
from proxy.comparison.conversations import compare_conversations
from proxy.comparison.verdicts import Verdict
from proxy.config.loading import parse
from proxy.shadow.backends import ShadowBackends
from proxy.shadow.conversation_replay import ConversationBounds, ConversationReplay
from proxy.shadow.messages import Configure, RequestSnapshot
from proxy.types import DifferenceKind, ValuePath
from tests.support.backends import NOWHERE
from tests.support.late_transcriptions import has_answer_before_start, late_conversation
from tests.support.shadowed_requests import CONNECTION

ROUTING = f"{{legacy: {{url: '{NOWHERE}'}}, routes: [{{name: stream, match: WS /transcription-stream}}]}}"
TIMESTAMP: Final[tuple[ValuePath, DifferenceKind]] = (("frames", "*", "timestamp"), "value")
seeds = st.integers(0, 2**32)


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that does not wait: time jumps to the next timer."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        self.now += 0.0 if events else timeout or 0.0
        return events


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _JumpingSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


class Shadow:
    """The shadow's contract and native app."""

    def __init__(self) -> None:
        self._loop = _JumpingLoop()
        self._backends = ShadowBackends(Native("handlers.app:app"))
        configuration = Configure(parse(ROUTING, {}), Path(__file__).parents[1])
        self._loop.run_until_complete(self._backends.apply_config(configuration))

    def close(self) -> None:
        self._backends.close()
        self._loop.close()

    def compare(self, legacy: Conversation, app: ASGIApp | None = None) -> Verdict:
        """Return the verdict on a conversation and its replay on the native app, or on another one."""
        bounds = ConversationBounds(time.monotonic() + 3600, 1.0, 2000, 1_000_000)
        replay = ConversationReplay(legacy, RequestSnapshot.of(legacy.handshake, CONNECTION), bounds)
        native = self._loop.run_until_complete(replay.run(app or DryTranscriptionStream(25 * 1024 * 1024)))
        assert isinstance(native, Conversation)
        operation = self._backends.conversation(legacy.handshake)
        return compare_conversations(legacy, native, operation, self._backends.contracts.divergences)


@pytest.fixture(scope="module")
def shadow() -> Iterator[Shadow]:
    shadow = Shadow()
    yield shadow
    shadow.close()


def confirmed(shadow: Shadow, legacy: Conversation) -> frozenset[tuple[ValuePath, DifferenceKind]]:
    """Return the unexplained differences that show in two replays, as `ConversationComparator` does.

    Those of dates are left out: native's are of this second, and legacy's of virtual time.
    """
    keys = shadow.compare(legacy).unexplained_keys - {TIMESTAMP}
    return keys and keys & shadow.compare(legacy).unexplained_keys


@given(seeds)
@settings(deadline=None)
@example(1024)
def test_late_answers_are_no_mismatch(shadow: Shadow, seed: int) -> None:
    conversation = late_conversation(Random(seed), recordings=2, fails=False)
    assume(not has_answer_before_start(conversation))
    assert confirmed(shadow, conversation) == set()


@given(seeds)
@settings(deadline=None)
def test_late_failures_are_no_mismatch(shadow: Shadow, seed: int) -> None:
    assert confirmed(shadow, late_conversation(Random(seed), recordings=1, fails=True)) == set()


async def hasty(scope: Scope, receive: Receive, send: Send) -> None:
    """Run the native app, and send the end of a recording before its text."""
    held = list[Message]()

    async def swap(message: Message) -> None:
        if '"isFinal":true' in (message.get("text") or ""):
            held.append(message)
            return
        await send(message)
        while held:
            await send(held.pop())

    await DryTranscriptionStream(25 * 1024 * 1024)(scope, receive, swap)


def dropping(part: str) -> ASGIApp:
    """Return the native app without the messages that contain a text."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def drop(message: Message) -> None:
            if part not in (message.get("text") or ""):
                await send(message)

        await DryTranscriptionStream(25 * 1024 * 1024)(scope, receive, drop)

    return app


FAULTS: dict[str, tuple[ASGIApp, str, Any]] = {
    "the end before the text": (hasty, '"isFinal":true', "order"),
    "no partial text": (dropping('"isPartial":true'), '"isPartial":true', "missing"),
    "no final text": (dropping('"isFinal":true'), '"isFinal":true', "missing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_named_among_late_answers(shadow: Shadow, fault: str) -> None:
    app, needed, kind = FAULTS[fault]
    conversations = [late_conversation(Random(seed), recordings=1, fails=False) for seed in range(60)]
    affected = [each for each in conversations if any(needed in str(one.data) for one in each.received)]
    assert len(affected) > 10
    for conversation in affected:
        assert (("frames", "*"), kind) in shadow.compare(conversation, app).unexplained_keys
