"""Native apps for a bench of the shadow, one without and the others with one fault each."""

from __future__ import annotations

import asyncio
import os

from starlette.types import Receive, Scope, Send

BODY = b'{"text":"%b"}' % (b"x" * 2389)
"""The answer of `peers/upstream.js`."""
CHUNK = b"x" * (1 << 20)
SLOW = 0.05
"""Seconds; a hundred times the upstream's."""


async def healthy(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as the upstream does."""
    if scope["type"] == "lifespan":
        raise RuntimeError("no lifespan here")
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(SLOW)
    await healthy(scope, receive, send)


async def hanging(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await asyncio.Event().wait()
    await healthy(scope, receive, send)


async def crashing(scope: Scope, receive: Receive, send: Send) -> None:
    """Exit the process in which the app runs."""
    if scope["type"] == "http":
        os._exit(1)
    await healthy(scope, receive, send)


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with 100 MiB."""
    if scope["type"] == "lifespan":
        await healthy(scope, receive, send)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    for _ in range(100):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
