"""Let the ops pages use the event loop only between the requests of clients.

    page ─ step ─┐                                 one step at a time, in rotation by client address;
    page ─ step ─┼─▶ PageTurns ─▶ step ─▶ rest     while requests are in flight, a rest follows that is
    page ─ step ─┘                                 `REST_RATIO` times as long as the step took

Pages and requests share one event loop. Without this, a flood of pages would do a step of each page in every pass of
the loop. A request takes several passes, and would wait for all of them each time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Hashable
from functools import partial
from typing import Any, Final, cast

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.ops.access import HEALTH
from proxy.rotation import Rotation

REST_RATIO: Final = 2.0
"""Length of the rest after a step, as a multiple of the step: pages take at most a third of the loop's time."""


class PageTurns:
    """The turns of waiting steps. `requests_in_flight` returns whether there are any; `clock` gives CPU seconds."""

    def __init__(self, requests_in_flight: Callable[[], bool], clock: Callable[[], float] = time.thread_time) -> None:
        self._requests_in_flight, self._clock = requests_in_flight, clock
        self._waiting: Final = Rotation[asyncio.Future[None]]()
        self._taken = False
        self._began = 0.0

    async def take(self, client: Hashable) -> None:
        """Return when the client's turn has come, which lasts until `end`."""
        if self._taken:
            granted = asyncio.get_running_loop().create_future()
            self._waiting.add(client, granted)
            try:
                await granted
            except asyncio.CancelledError:
                if granted.done() and not granted.cancelled():
                    self._pass_on()
                raise
        self._taken = True
        self._began = self._clock()

    def end(self) -> None:
        """End the turn; the next one begins after the rest."""
        rest = REST_RATIO * (self._clock() - self._began)
        loop = asyncio.get_running_loop()
        if self._requests_in_flight():
            loop.call_later(rest, self._pass_on)
        else:
            loop.call_soon(self._pass_on)

    def _pass_on(self) -> None:
        """Give the turn to the client that has waited longest."""
        while self._waiting:
            granted = self._waiting.take()
            if not granted.done():
                granted.set_result(None)
                return
        self._taken = False


class PacedWork(Awaitable[None]):
    """A coroutine whose steps take turns: each runs until the coroutine waits for something else."""

    def __init__(self, work: Coroutine[Any, Any, None], turns: PageTurns, client: Hashable) -> None:
        self._work, self._turns, self._client = work, turns, client

    def __await__(self) -> Generator[Any, Any, None]:
        advance: Callable[[], Any] = partial(self._work.send, None)
        while True:
            granted = True
            try:
                yield from self._turns.take(self._client).__await__()
            except BaseException as error:  # a cancelled coroutine ends without waiting for its turn
                advance, granted = partial(self._work.throw, error), False
            try:
                awaited = advance()
            except StopIteration:
                return
            finally:
                if granted:
                    self._turns.end()
            try:
                yield awaited
                advance = partial(self._work.send, None)
            except BaseException as error:
                advance = partial(self._work.throw, error)


class PacingMiddleware:
    """Serves every request, except health checks, in turns by client address."""

    def __init__(self, app: ASGIApp, turns: PageTurns) -> None:
        self._app, self._turns = app, turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = self._app(scope, receive, send)
        if scope["type"] != "http" or scope["path"] in HEALTH:
            await work
            return
        client = scope.get("client")
        await PacedWork(cast("Coroutine[Any, Any, None]", work), self._turns, client and client[0])
