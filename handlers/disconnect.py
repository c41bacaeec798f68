"""Cancellation of work, such as a call to the model, when its client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")


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
