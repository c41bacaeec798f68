"""Two apps that repeat the whole request in their answers, no part of which the gateway may store.

Run as the legacy's and as the native app of a real gateway; the path says how to answer.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from starlette.types import Receive, Scope, Send

from tests.support.lifespan import complete_lifespan

RECEIVED: list[str] = []
"""All requests that legacy has received, for a test in the same process."""
GOODBYE = "bye"
"""The end of the message after which both apps close."""
_numbers = itertools.count()


async def legacy(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await _converse(scope, receive, send, lambda text: text)
        return
    text = await _read(scope, receive)
    RECEIVED.append(text)
    if scope["path"].startswith("/api/reset"):
        raise RuntimeError(text)
    await _answer(scope, send, text, {"note": text, "age": 61, "status": "active", "visit": next(_numbers)})


async def native(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        scope["state"] |= {"proxy.dry_run": True, "proxy.dry_run.websocket": True}
        await complete_lifespan(receive, send)
        return
    if scope["type"] == "websocket":
        scope["extensions"]["proxy.dry_run"]["report"]([])
        await _converse(scope, receive, send, lambda text: text[::-1] + text)
        return
    text = await _read(scope, receive)
    if scope["path"].startswith("/api/raise"):
        raise RuntimeError(text)
    dry_run = (scope.get("extensions") or {}).get("proxy.dry_run")
    if dry_run is not None:
        document = {"note": text, text: text}
        dry_run["report"]([{"collection": "notes", "operation": "insert", "document": document}])
    await _answer(scope, send, text[::-1] + text, {"note": 7, "age": text, "status": "ended", text: text})


async def _converse(scope: Scope, receive: Receive, send: Send, change: Callable[[str], str]) -> None:
    """Repeat the request in a header, each message in an answer, and the path in the reason of a close."""
    text = f"{unquote(scope['path'])} {scope['query_string'].decode()}"
    RECEIVED.append(text)
    await receive()
    await send({"type": "websocket.accept", "headers": [(b"x-told", text.encode("ascii", "ignore"))]})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": change(message["text"])})
        if message["text"].endswith(GOODBYE):
            await send({"type": "websocket.close", "code": 4001, "reason": change(unquote(scope["path"]))[:50]})
            return


async def _read(scope: Scope, receive: Receive) -> str:
    """Return a request's path, headers and body as one text."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = " ".join(f"{name.decode('latin-1')}={value.decode('latin-1')}" for name, value in scope["headers"])
    return f"{unquote(scope['path'])} {scope['query_string'].decode()} {headers} {body.decode('utf-8', 'replace')}"


async def _answer(scope: Scope, send: Send, text: str, value: dict[str, Any]) -> None:
    """Answer with the text in one of many forms, and in the header `x-told`."""
    kind, status, body = b"application/json", 200, json.dumps(value).encode()
    for start, form in _FORMS.items():
        if scope["path"].startswith(start):
            kind, status, body = form[0], form[1], form[2](text)
    header = text.encode("ascii", "ignore").replace(b"\n", b" ").replace(b"\r", b" ")[:500]
    headers = [(b"content-type", kind), (b"x-told", header), (b"set-cookie", b"told=" + header.replace(b";", b""))]
    headers += [(b"location", b"/" + header.replace(b" ", b"+")), (b"content-length", b"%d" % len(body))]
    if scope["path"].startswith("/api/gzip"):
        headers.append((b"content-encoding", b"gzip"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _gzipped(text: str) -> bytes:
    return gzip.compress(json.dumps({"note": text}).encode())


_FORMS: dict[str, tuple[bytes, int, Callable[[str], bytes]]] = {
    "/api/html": (b"text/html; charset=utf-8", 404, lambda text: f"<p>{text}</p>".encode()),
    "/api/text": (b"text/plain; charset=utf-8", 200, str.encode),
    "/api/image": (b"image/png", 200, str.encode),
    "/api/broken": (b"application/json", 500, lambda text: f'{{"note":"{text}'.encode()),
    "/api/gzip": (b"application/json", 200, _gzipped),
    "/api/large": (b"text/plain", 200, lambda text: text.encode() * 2000),
}
