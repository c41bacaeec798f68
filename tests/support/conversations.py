"""WebSocket conversations through a mirror: those that it submits or skips, and the app that is mirrored."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp, Receive

from proxy.comparison.conversation import RawConversation
from proxy.comparison.verdicts import Reason
from proxy.config.loading import parse
from proxy.config.models import Route
from proxy.config.service_models import ConversationLimits, ShadowWorkerSettings
from proxy.gateway.bucketing import Decision
from proxy.gateway.gateway import Gateway
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.server.memory_budget import MemoryBudget
from proxy.shadow.messages import ConnectionInfo
from proxy.shadow.mirror import DirectRead, ServedRequest
from proxy.shadow.mirrored_conversation import MirroredConversation
from proxy.types import Backend
from tests.support.waiting import HANG_TIMEOUT

ROUTING: Final = """
legacy: {url: http://x}
native: a:b
routes: [{name: stream, match: WS /transcription-stream, shadow: 100%}]
"""


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


@dataclass(frozen=True)
class ConversationMirror:
    """A shadow that gives the conversations of a gateway to a recorder."""

    sink: ConversationRecorder
    settings: ShadowWorkerSettings
    budgets: tuple[MemoryBudget, ...]

    def mirror(
        self, route: Route, decision: Decision, request: ServedRequest, receive: Receive
    ) -> MirroredConversation:
        """Mirror every conversation."""
        return MirroredConversation(self.sink, route.name, request.scope, receive, self.settings, self.budgets)

    def mirror_direct(self, read: DirectRead) -> None:
        """Refuse: a conversation has a task."""
        raise AssertionError(read)


def mirrored(
    upstream: ASGIApp,
    sink: ConversationRecorder,
    limits: ConversationLimits | None = None,
    *budgets: MemoryBudget,
) -> ASGIApp:
    """Return a gateway that mirrors its conversations with an upstream."""
    settings = ShadowWorkerSettings(websocket=limits or ConversationLimits())
    return Gateway(
        RoutingSnapshot.of(parse(ROUTING, {}), upstream, upstream),
        shadow=ConversationMirror(sink, settings, budgets),
    )
