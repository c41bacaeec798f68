"""The server of the frontend: static files and the address of the API.

The page calls the API at another origin, as Scribe's own frontend does, so this server receives no consultation.
"""

import json
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FILES: Final = Path(__file__).parent / "frontend"
API_VARIABLE: Final = "FRONTEND_API_URL"
_DEFAULT_API = "http://localhost:8000"
_CHUNK_MS = 500


class ProtectiveHeaders:
    """Adds the headers that restrict the page to its own files and one API, without framing.

    Browsers revalidate every file (304), because names do not change with the content.
    """

    def __init__(self, app: ASGIApp, api: str) -> None:
        self._app = app
        self._headers = {
            "cache-control": "no-cache",
            "content-security-policy": content_security_policy(api),
            "cross-origin-opener-policy": "same-origin",
            "permissions-policy": "microphone=(self), camera=(), geolocation=()",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_protected)


def create_app(api: str | None = None, chunk_ms: int = _CHUNK_MS) -> Starlette:
    """Return the app that serves the page. The page calls `api` (scheme and authority; default: the environment's).

    `chunk_ms`: milliseconds of audio per frame; the legacy transcribes eight frames at a time.
    """
    base = (api or os.environ.get(API_VARIABLE) or _DEFAULT_API).rstrip("/")
    config = f"export default {json.dumps({'api': base, 'chunkMs': chunk_ms})};\n"

    async def serve_config(request: Request) -> Response:
        return Response(config, media_type="text/javascript")

    return Starlette(
        routes=[Route("/config.js", serve_config), Mount("/", StaticFiles(directory=FILES, html=True))],
        middleware=[Middleware(ProtectiveHeaders, api=base)],
    )


def content_security_policy(api: str) -> str:
    """Return the page's content security policy: its own files, and the API by HTTP and WebSocket."""
    parts = urlsplit(api)
    stream = f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"
    own = ("script-src 'self'", "style-src 'self'", "img-src 'self'")
    closed = ("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'")
    return "; ".join(("default-src 'none'", *own, f"connect-src {api} {stream}", *closed))
