"""The receiver of a webhook."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.support.waiting import HANG_TIMEOUT


class WebhookReceiver:
    """An app that records requests and answers with the given statuses in turn, the last one repeated."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.arrived = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.received.append((dict(request.headers), await request.body()))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        await Response(status_code=status)(scope, receive, send)
        self.arrived.set()

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(HANG_TIMEOUT):
            while len(self.received) < count:
                self.arrived.clear()
                await self.arrived.wait()
