"""ASGI middleware of v1: a limit on bodies, and security headers."""

import math
from typing import Final

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handlers.json_structure import StructureCounter, StructureError
from handlers.v1.errors import error_response

_TOO_LARGE: Final = "Content Too Large"
HEADERS: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class BodyLimit:
    """Refuses bodies over a limit with 413: immediately if `Content-Length` exceeds it, otherwise when it is passed.

    Bodies with more values than `json_structure` allows are refused too: FastAPI parses a body before it checks the
    token.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _declared_length(scope) > self._limit:
            await error_response(413, _TOO_LARGE)(scope, receive, send)
        else:
            await self._app(scope, self._count(receive), send)

    def _count(self, receive: Receive) -> Receive:
        allowance, counter = self._limit, StructureCounter()

        async def receive_counted() -> Message:
            nonlocal allowance
            message = await receive()
            piece: bytes = message.get("body", b"")
            allowance -= len(piece)
            if allowance < 0:
                raise HTTPException(413, _TOO_LARGE)
            try:
                counter.feed(piece)
            except StructureError:
                raise HTTPException(413, _TOO_LARGE) from None
            return message

        return receive_counted


def _declared_length(scope: Scope) -> float:
    """Return a body's declared length in bytes; an invalid declaration is infinite."""
    length = Headers(scope=scope).get("content-length", "0")
    return int(length) if length.isdecimal() and len(length) < 20 else math.inf


class SecureHeaders:
    """Adds the missing `HEADERS` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_secured)
