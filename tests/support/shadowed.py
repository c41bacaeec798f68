"""Apps to be shadowed: each path is one behaviour. `with_dry_runs` declares support for dry runs, `plain` does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from tests.support.lifespan import complete_lifespan

MEGABYTE = b"x" * 1_000_000
RELENTING: list[bool] = []
"""Put something in to let `/stubborn` end."""
Behaviour = Callable[[Scope, Receive, Send], Awaitable[None]]


async def answer(send: Send, value: Any, status: int = 200, kind: bytes = b"application/json; charset=utf-8") -> None:
    body = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def sent(receive: Receive) -> bytes:
    """Return the request's complete body."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def legacy(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as legacy, with whose answers those of the other apps are compared."""
    if scope["type"] == "websocket":
        await _echo(scope, receive, send)
        return
    path = scope["path"].rpartition("/")[2]
    if path == "wrong":
        await answer(send, {"b": 1})
    elif scope["method"] in ("GET", "HEAD"):
        await answer(send, {"a": 1})
    else:
        await answer(send, {"wrote": (await sent(receive)).decode()}, 201)


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await complete_lifespan(receive, send)
    elif scope["type"] == "websocket":
        await _converse(scope, receive, send)
    else:
        path = scope["path"].rpartition("/")[2]
        await BEHAVIOURS.get(path, _same)(scope, receive, send)


async def with_dry_runs(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        scope["state"] |= {"proxy.dry_run": True, "proxy.dry_run.websocket": True}
    await plain(scope, receive, send)


async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
    """Fail to start."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no"})


async def _converse(scope: Scope, receive: Receive, send: Send) -> None:
    """Echo messages as legacy does, or behave as the end of the path says."""
    path = scope["path"].rpartition("/")[2]
    extensions = scope.get("extensions") or {}
    if "proxy.dry_run" in extensions:
        extensions["proxy.dry_run"]["report"](None if path == "decline" else [])
    if path in ("crash", "stubborn"):
        await BEHAVIOURS[path](scope, receive, send)
    await _echo(scope, receive, send, suffix="!" if path == "other" else "")


async def _echo(scope: Scope, receive: Receive, send: Send, suffix: str = "") -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"] + suffix})


async def _same(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as legacy does; in a dry run, report a write with the request's body and deadline."""
    extensions = scope.get("extensions") or {}
    if "proxy.dry_run" not in extensions:
        await legacy(scope, receive, send)
        return
    body = (await sent(receive)).decode()
    document = {"text": body, "deadline": extensions["proxy.dry_run"]["deadline"]}
    extensions["proxy.dry_run"]["report"]([{"collection": "notes", "operation": "insert", "document": document}])
    await answer(send, {"wrote": body}, 201)


async def _other(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, {"a": 2})


async def _hang(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


async def _blocking(scope: Scope, receive: Receive, send: Send) -> None:
    time.sleep(600)  # noqa: ASYNC251 - holds the loop, which is the point


async def _crash(scope: Scope, receive: Receive, send: Send) -> None:
    os._exit(9)


async def _raise(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("patient Jane")


async def _huge(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for _ in range(100):
        await send({"type": "http.response.body", "body": MEGABYTE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _stubborn(scope: Scope, receive: Receive, send: Send) -> None:
    while not RELENTING:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.02)


async def _decline(scope: Scope, receive: Receive, send: Send) -> None:
    scope["extensions"]["proxy.dry_run"]["report"](None)
    await answer(send, b"", 501)


async def _half(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})


async def _linger(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, and continue after the client's disconnect."""
    await legacy(scope, receive, send)
    await receive()
    message: Message = await receive()
    assert message["type"] == "http.disconnect"
    await asyncio.Event().wait()


LEAKED: list[bytes] = []


async def _leak(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as legacy does, and leak 200 MB."""
    LEAKED.append(b"x" * 200_000_000)
    await legacy(scope, receive, send)


BEHAVIOURS: dict[str, Behaviour] = {
    "leak": _leak,
    "other": _other,
    "meant": _other,
    "hang": _hang,
    "busy": _blocking,
    "crash": _crash,
    "raise": _raise,
    "huge": _huge,
    "stubborn": _stubborn,
    "decline": _decline,
    "half": _half,
    "linger": _linger,
}
