"""Cancellation of work, such as a call to the model or a query, when its client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

T = TypeVar("T")


WATCH_DELAY: Final = 0.25
"""Seconds that a read may take before its client is watched."""

_BODY_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding"})


class ClientDisconnectedError(Exception):
    """A client that has disconnected: no answer can be delivered."""


async def cancel_on_disconnect(disconnect: Coroutine[Any, Any, None], work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`; cancel it and raise `ClientDisconnectedError` if `disconnect` returns first."""
    working = asyncio.create_task(work)
    waiting = asyncio.create_task(disconnect)
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnectedError
        return await working
    finally:
        for task in (working, waiting):
            task.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has disconnected; discard what is left of its body."""
    while (await receive())["type"] != "http.disconnect":
        pass


def is_read_without_body(scope: Scope) -> bool:
    """Return whether a request is a GET or HEAD without a body."""
    return (
        scope["type"] == "http"
        and scope["method"] in ("GET", "HEAD")
        and not any(name in _BODY_HEADERS for name, _ in scope["headers"])
    )


async def run_cancellable(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, watch_delay: float = WATCH_DELAY
) -> None:
    """Await an app's answer to a read without a body; cancel it when the client disconnects.

    Writes are not cancelled: the legacy completes them as well.
    """
    watch = _DisconnectWatch(receive, watch_delay)
    try:
        async with asyncio.timeout(None) as limit:
            watch.start(limit)
            await app(scope, watch.receive, send)
    except TimeoutError:
        if not limit.expired():
            raise
    finally:
        watch.stop()


class _DisconnectWatch:
    """Reads a request without a body for its app, and for the disconnect from `delay` (seconds) on."""

    __slots__ = ("_delay", "_has_ended", "_limit", "_receive", "_task", "_timer")

    def __init__(self, receive: Receive, delay: float) -> None:
        self._receive = receive
        self._delay = delay
        self._has_ended = False
        self._task: asyncio.Task[None] | None = None

    def start(self, limit: asyncio.Timeout) -> None:
        """Expire `limit` when the client disconnects."""
        self._limit = limit
        self._timer = asyncio.get_running_loop().call_later(self._delay, self._watch)

    def _watch(self) -> None:
        self._task = asyncio.create_task(self._expire())

    async def _expire(self) -> None:
        await wait_for_disconnect(self._receive)
        if not self._limit.expired():
            self._limit.reschedule(0)

    def stop(self) -> None:
        """Stop watching."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    async def receive(self) -> Message:
        """Return the end of the body, then the disconnect."""
        if not self._has_ended:
            self._has_ended = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await wait_for_disconnect(self._receive)
        return {"type": "http.disconnect"}
