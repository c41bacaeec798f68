"""The native app with one handler broken on purpose, in three ways, for as long as a file exists.

`GET /api/notes/{consultationId}` then has a field renamed (`notes.body` is `notes.text`), a value of a wrong type
(`count` is a text) and an order changed (`notes`). A gateway loads it by `native: tests.support.broken_native:app`; the
environment variable BROKEN names the file.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from handlers.app import app as sound

_LIST = re.compile(r"/api/notes/[0-9a-f]{24}")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a request by the native app, or by the broken handler."""
    listed = scope["type"] == "http" and scope["method"] == "GET" and _LIST.fullmatch(scope["path"])
    broken = listed and Path(os.environ["BROKEN"]).exists()
    await sound(scope, receive, _Breaking(send) if broken else send)


class _Breaking:
    """An ASGI `send` that changes the complete answer before it is sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message = {}

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        body = break_(message["body"]) if self._start["status"] == 200 else message["body"]
        length = (b"content-length", str(len(body)).encode())
        headers = [length if name == b"content-length" else (name, value) for name, value in self._start["headers"]]
        await self._send({**self._start, "headers": headers})
        await self._send({**message, "body": body})


def break_(body: bytes) -> bytes:
    """Return an answer's notes with a renamed field, a count as text and another order."""
    content: dict[str, Any] = json.loads(body)
    notes = [{("text" if name == "body" else name): value for name, value in note.items()} for note in content["notes"]]
    return json.dumps({"count": str(content["count"]), "notes": notes[::-1]}, separators=(",", ":")).encode()
