"""Outside services whose next call waits until a test releases its answer."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send


class HeldCall:
    """A call that has reached the services and waits there."""

    def __init__(self) -> None:
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let the services answer."""
        self._released.set()

    async def wait(self) -> None:
        """Wait for the release."""
        await self._released.wait()


class HeldCalls:
    """The services `services`. Requests for a token pass, since native makes fewer of them."""

    def __init__(self, services: ASGIApp) -> None:
        self._services = services
        self._next: asyncio.Future[HeldCall] | None = None

    def stop(self) -> asyncio.Future[HeldCall]:
        """Stop the next call, until its release."""
        self._next = asyncio.get_running_loop().create_future()
        return self._next

    def pass_all(self) -> None:
        """Let each further call pass. The result of `stop` is done by then if it has stopped a call."""
        self._next = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._next is not None and scope["type"] == "http" and _is_held(scope["path"]):
            held = HeldCall()
            self._next.set_result(held)
            self._next = None
            await held.wait()
        await self._services(scope, receive, send)


def _is_held(path: str) -> bool:
    return path.endswith(("/completions", "/transcriptions", "expand"))
