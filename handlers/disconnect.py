"""Cancellation of work, such as a call to the model or a query, when its client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

T = TypeVar("T")


WATCH_DELAY: Final = 0.25
"""Seconds that a read may take before its client is watched for a disconnect."""

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
    """Return when the client has disconnected; discard the rest of its body."""
    while (await receive())["type"] != "http.disconnect":
        pass


def is_read_without_body(scope: Scope) -> bool:
    """Return whether a request is a GET or HEAD without a body."""
    return (
        scope["type"] == "http"
        and scope["method"] in ("GET", "HEAD")
        and _BODY_HEADERS.isdisjoint([name for name, _ in scope["headers"]])
    )


class CancellableReads:
    """Awaits the answers to reads without a body, and cancels a read when its client disconnects.

    Writes are not cancelled: the legacy completes them as well. One timer serves all reads and runs while there are
    any. A read is watched from its second tick on, at most `watch_delay` seconds after its start.
    """

    def __init__(self, watch_delay: float = WATCH_DELAY) -> None:
        self._interval = watch_delay / 2
        self._running: set[_Read] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Await an app's answer; return without one when the client disconnects."""
        read = _Read(receive)
        self._running.add(read)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._tick)
        try:
            await app(scope, read.receive, send)
        except asyncio.CancelledError:
            if not read.is_cancelled_by_disconnect():
                raise
        finally:
            self._running.discard(read)
            read.stop()

    def _tick(self) -> None:
        for read in self._running:
            read.tick()
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._tick) if self._running else None


class _Read:
    """One read, run by the current task. Its `receive` returns an empty body, then the client's disconnect."""

    __slots__ = ("_has_disconnected", "_has_ended", "_has_ticked", "_receive", "_task", "_watching")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task = asyncio.current_task()
        self._has_ended = self._has_ticked = self._has_disconnected = False
        self._watching: asyncio.Task[None] | None = None

    def tick(self) -> None:
        """Watch for the disconnect, from the second tick on."""
        if self._has_ticked and self._watching is None:
            self._watching = asyncio.create_task(self._cancel_on_disconnect())
        self._has_ticked = True

    async def _cancel_on_disconnect(self) -> None:
        await wait_for_disconnect(self._receive)
        if self._task is not None and not self._has_disconnected:
            self._has_disconnected = True
            self._task.cancel()

    def is_cancelled_by_disconnect(self) -> bool:
        """Return whether only the disconnect has cancelled the task."""
        return self._has_disconnected and self._task is not None and self._task.cancelling() == 1

    def stop(self) -> None:
        """Stop watching, and undo the cancellation."""
        if self._watching is not None:
            self._watching.cancel()
        if self._has_disconnected and self._task is not None:
            self._task.uncancel()

    async def receive(self) -> Message:
        """Return the end of the body, then the disconnect."""
        if not self._has_ended:
            self._has_ended = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await wait_for_disconnect(self._receive)
        return {"type": "http.disconnect"}
