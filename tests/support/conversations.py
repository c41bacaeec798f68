"""WebSocket conversations through a mirror: those that it submits or skips, and the app that is mirrored."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.comparison.conversation import RawConversation
from proxy.comparison.verdicts import Reason
from proxy.config.service_models import ConversationLimits, ShadowWorkerSettings
from proxy.server.memory_budget import MemoryBudget
from proxy.shadow.messages import ConnectionInfo
from proxy.shadow.mirrored_conversation import MirroredConversation
from proxy.types import Backend
from tests.support.waiting import HANG_TIMEOUT


@dataclass
class ConversationRecorder:
    """Records the calls of a `MirroredConversation`; `over` is set with the first."""

    submitted: list[tuple[ConnectionInfo, RawConversation]] = field(default_factory=list)
    skipped: list[Reason] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def submit_conversation(self, route: str, connection: ConnectionInfo, raw: RawConversation) -> None:
        self.submitted.append((connection, raw))
        self.over.set()

    def skip(self, route: str, served: Backend, reason: Reason) -> None:
        self.skipped.append(reason)
        self.over.set()

    async def conversation(self) -> RawConversation:
        """Wait for a conversation that is submitted."""
        async with asyncio.timeout(HANG_TIMEOUT):
            await self.over.wait()
        assert self.skipped == []
        return self.submitted[-1][1]


def mirrored(
    upstream: ASGIApp,
    sink: ConversationRecorder,
    limits: ConversationLimits | None = None,
    *budgets: MemoryBudget,
) -> ASGIApp:
    """Return an app that mirrors its conversations as the gateway does."""
    settings = ShadowWorkerSettings(websocket=limits or ConversationLimits())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        conversation = MirroredConversation(sink, "stream", scope, receive, settings, budgets)

        async def observed(message: Message) -> None:
            conversation.sent(message)
            await send(message)

        failure = None
        try:
            await upstream(scope, conversation.receive, observed)
        except Exception as error:
            failure = getattr(error, "code", "native_failed")
            raise
        finally:
            conversation.end("legacy", failure)

    return app
