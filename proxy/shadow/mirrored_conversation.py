"""Capture of one WebSocket conversation in the gateway process, and its transfer to the shadow process.

The bytes that pass are held by reference, within limits: of one conversation, of all that the process holds, and of the
memory budget of the process, in which they are expendable. A conversation beyond a limit is skipped and its bytes are
released; the relay is not affected.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from starlette.types import Message, Receive, Scope

from common.failure_trace import trace_of
from proxy.comparison.conversation import Chunk, HandshakeRecorder, RawConversation
from proxy.comparison.exchanges import unanswered
from proxy.comparison.verdicts import Reason
from proxy.config.service_models import ShadowWorkerSettings
from proxy.server.memory_budget import MemoryBudget
from proxy.shadow.messages import ConnectionInfo
from proxy.shadow.mirror import connection_info_of
from proxy.types import Backend
from proxy.websocket.relay import Relay

logger = logging.getLogger("scribe_proxy.shadow")


class ConversationSink(Protocol):
    """The receiver of captured conversations: `Submissions`, or a recorder in tests."""

    def submit_conversation(self, route: str, connection: ConnectionInfo, raw: RawConversation) -> None:
        """Submit a conversation with legacy for comparison."""

    def skip(self, route: str, served: Backend, reason: Reason) -> None:
        """Count a conversation that is not compared."""


class MirroredConversation:
    """A conversation with legacy, submitted for comparison at its end (a `MirroredRequest`).

    `budgets` bound the bytes that are held.
    """

    def __init__(
        self,
        sink: ConversationSink,
        route: str,
        scope: Scope,
        receive: Receive,
        settings: ShadowWorkerSettings,
        budgets: tuple[MemoryBudget, ...],
    ) -> None:
        self._sink, self._route, self._scope, self._receive = sink, route, scope, receive
        self._limits = settings.websocket
        self._handshake = HandshakeRecorder(scope, settings.max_body)
        self._accounts = [(budget, budget.open(self._evict, expendable=True)) for budget in budgets]
        self._chunks: list[Chunk] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False

    @property
    def capture(self) -> MirroredConversation:
        """Itself: it records what the backend sends."""
        return self

    async def prepare(self) -> None:
        return

    async def receive(self) -> Message:
        return await self._receive()

    def sent(self, message: Message) -> None:
        """Record the answer to the handshake, and observe the relay that follows it."""
        self._handshake.sent(message)
        relay: Relay | None = message.get("proxy.relay")
        if relay is not None:
            self._timer = asyncio.get_running_loop().call_later(self._limits.max_duration, self._skip, "timeout")
            relay.observe(self._observe)

    def end(self, backend: Backend, failure: str | None) -> None:
        """Submit the conversation once both connections are closed, unless it was skipped."""
        if self._is_over:
            return
        handshake = self._handshake.exchange(failure)
        reason = unanswered(handshake.outcome) if backend == "legacy" else "backend_unavailable"
        if reason is not None:
            self._skip(reason)
            return
        raw = RawConversation(handshake, self._handshake.opened, self._chunks)
        self._release()
        self._sink.submit_conversation(self._route, connection_info_of(self._scope), raw)

    def _observe(self, from_client: bool, data: bytes) -> None:
        """Hold bytes that passed. Never raises, because the relay calls it."""
        if self._is_over:
            return
        try:
            self._hold(Chunk(from_client, time.monotonic(), data))
        except Exception as error:
            logger.error("a conversation could not be captured: %s", trace_of(error))
            self._skip("body_too_large")

    def _hold(self, chunk: Chunk) -> None:
        cost = chunk.cost
        self._size += cost
        self._chunks.append(chunk)
        if self._size > self._limits.max_size:
            self._skip("body_too_large")
        elif not all(budget.has_room(cost) and account.acquire(cost) for budget, account in self._accounts):
            self._evict()

    def _evict(self) -> None:
        self._skip("queue_full")

    def _skip(self, reason: Reason) -> None:
        if not self._is_over:
            self._release()
            self._sink.skip(self._route, "legacy", reason)

    def _release(self) -> None:
        self._is_over = True
        self._chunks = []
        if self._timer is not None:
            self._timer.cancel()
        for _, account in self._accounts:
            account.close()
