"""One request through an `HttpUpstream`, without a gateway."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Scope

from proxy.backends.legacy.http import HttpUpstream
from proxy.gateway.errors import Failure
from tests.support.waiting import HANG_TIMEOUT


async def call(upstream: HttpUpstream, method: str, path: str) -> tuple[int, bytes, bool]:
    """Return status, body, and True for a complete answer; for a failure, its status."""
    messages: list[Message] = []

    async def receive() -> Message:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def send(message: Message) -> None:
        messages.append(message)

    scope: Scope = {"type": "http", "method": method, "path": path, "headers": [(b"host", b"x")]}
    try:
        await asyncio.wait_for(upstream(scope, receive, send), HANG_TIMEOUT)
    except Failure as failure:
        assert not messages
        return failure.status, b"", True
    whole = not messages[-1].get("more_body", True)
    return messages[0]["status"], b"".join(message.get("body", b"") for message in messages), whole
