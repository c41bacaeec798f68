"""Comparison of conversations with legacy and their replays on native.

A replay with a mismatch is repeated with more time for each message. A difference in only one of the two replays is
due to the pace of the replay.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from proxy.comparison.conversation import (
    Conversation,
    ConversationTooLargeError,
    UnreadableConversationError,
    read_conversation,
)
from proxy.comparison.conversations import compare_conversations
from proxy.comparison.exchange import Body, Exchange
from proxy.comparison.exchanges import incomparable
from proxy.comparison.messages import outline, values_of
from proxy.comparison.verdicts import Reason, Verdict, skipped
from proxy.contract.model import Operation
from proxy.reports.events import ComparisonEvent, Entry, SkippedEvent
from proxy.shadow.backends import ShadowBackends
from proxy.shadow.confirmation import repeated
from proxy.shadow.conversation_replay import ConversationBounds, ConversationReplay
from proxy.shadow.dry_run import Writes
from proxy.shadow.messages import CompareConversation, RequestSnapshot

SHUTDOWN_CODES: Final = (1001, 1012)
"""Close codes of a server that shuts down or restarts (RFC 6455 §7.4.1, and the registry of IANA)."""
TIMEOUT_FACTOR: Final = 3
"""Factor of the time for a message in a repeated replay."""


class ConversationComparator:
    """Compares conversations; `record` receives each event for the reports and must not raise."""

    def __init__(self, backends: ShadowBackends, record: Callable[[Entry], None]) -> None:
        self._backends = backends
        self._record = record

    async def compare(self, job: CompareConversation) -> Verdict:
        """Return the verdict on a conversation.

        Raises:
            UncancellableAppError: the native app ignores its cancellation.
        """
        legacy = self._read(job)
        event = legacy if isinstance(legacy, str) else await self.replay(job, legacy)
        if isinstance(event, str):
            self._record(SkippedEvent(job.route, "legacy", event))
            return skipped(event)
        self._record(event)
        return event.verdict

    def _read(self, job: CompareConversation) -> Conversation | Reason:
        try:
            conversation = read_conversation(job.raw, self._backends.settings.websocket.max_messages)
        except ConversationTooLargeError:
            return "body_too_large"
        except UnreadableConversationError:
            return "streaming"
        ending = conversation.ending
        if ending is not None and ending.by == "server" and ending.code in SHUTDOWN_CODES:
            return "backend_unavailable"
        return incomparable(conversation.handshake) or conversation

    async def replay(self, job: CompareConversation, legacy: Conversation) -> ComparisonEvent | Reason:
        """Return the comparison of a conversation that is read, or the reason why there is nothing to compare.

        Raises:
            UncancellableAppError: the native app ignores its cancellation.
        """
        operation = self._backends.conversation(legacy.handshake)
        first = await self._compare(job, legacy, operation, 1, job.deadline)
        if isinstance(first, str) or first.verdict.name != "mismatch":
            return first
        again = await self._compare(job, legacy, operation, TIMEOUT_FACTOR)
        if isinstance(again, str):
            return first
        if again.verdict.name == "mismatch":
            return replace(again, verdict=repeated(again.verdict, first.verdict))
        return again

    async def _compare(
        self,
        job: CompareConversation,
        legacy: Conversation,
        operation: Operation | None,
        factor: int,
        deadline: float | None = None,
    ) -> ComparisonEvent | Reason:
        request = RequestSnapshot.of(legacy.handshake, job.connection)
        replay = ConversationReplay(legacy, request, self._bounds(factor, deadline))
        native = await self._backends.converse(replay, job.route, request)
        if isinstance(native, str):
            return native
        verdict = compare_conversations(legacy, native, operation, self._backends.contracts.divergences)
        return _event(job.route, operation, verdict, legacy, native, replay.writes)

    def _bounds(self, factor: int, deadline: float | None) -> ConversationBounds:
        settings = self._backends.settings
        limits = settings.websocket
        deadline = deadline or time.monotonic() + settings.deadline
        return ConversationBounds(deadline, factor * limits.frame_timeout, limits.max_messages, settings.max_body)


def _event(
    route: str,
    operation: Operation | None,
    verdict: Verdict,
    legacy: Conversation,
    native: Conversation,
    writes: Writes,
) -> ComparisonEvent:
    if verdict.name == "match":
        return ComparisonEvent(route, operation, "legacy", verdict, legacy.handshake, native.handshake, writes)
    return ComparisonEvent(route, operation, "legacy", verdict, reported(legacy), reported(native), writes)


def reported(conversation: Conversation) -> Exchange:
    """Return a conversation in the shape of an exchange for the reports, without payloads.

    The request's body lists the type and length of each message of the client, the answer's body the server's messages.
    """
    handshake = conversation.handshake
    if not conversation.is_open:
        return handshake
    sent = _json([outline(each.data) for each in conversation.sent])
    received = _json(values_of([each.data for each in conversation.received]))
    return handshake._replace(request_body=Body.of(sent), body=Body.of(received))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
