"""An ASGI app that answers 2.4 kB itself, to measure uvicorn without a proxy."""

from __future__ import annotations

import json

from starlette.types import Receive, Scope, Send

BODY = json.dumps({"text": "x" * 2389}).encode()
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise RuntimeError("HTTP only")
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
