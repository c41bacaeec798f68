"""The ops pages and what machines ask for: `/`, `/status.json`, `/metrics`, `/healthz`, `/readyz`.

With a token set, everything but the two health checks wants `Authorization: Bearer <token>`.
"""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Protocol

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy import metrics
from proxy.config import Problem
from proxy.gateway import Gateway
from proxy.ops.readiness import LegacyProbe
from proxy.ops.status import Status, describe

OPEN = frozenset(("/healthz", "/readyz"))
TEMPLATES = Jinja2Templates(Path(__file__).parent / "templates")


class Situation(Protocol):
    """What the pages show of this process."""

    @property
    def gateway(self) -> Gateway: ...

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why the file as it stands is refused; empty while it is in force."""

    @property
    def native_started(self) -> bool: ...


class TokenRequired:
    """Lets a request pass that carries the token, or asks for a health check."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in OPEN or self._carried(scope):
            await self._app(scope, receive, send)
            return
        refusal = PlainTextResponse("a bearer token is required\n", 401, {"www-authenticate": "Bearer"})
        await refusal(scope, receive, send)

    def _carried(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, self._expected)


def create_ops(situation: Situation, token: str | None = None) -> Starlette:
    """The ops app of one process. `token`: what every request but a health check must bear."""
    probe = LegacyProbe()

    async def current() -> Status:
        legacy = await probe.reachable(situation.gateway.plan.config.legacy.url)
        return describe(situation.gateway, situation.problems, legacy=legacy, native=situation.native_started)

    async def overview(request: Request) -> Response:
        return TEMPLATES.TemplateResponse(request, "overview.html", {"status": await current()})

    async def status(_: Request) -> Response:
        return JSONResponse((await current()).model_dump())

    async def exposition(_: Request) -> Response:
        return Response(metrics.expose(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> Response:
        now = await current()
        return JSONResponse(
            {"status": "ready" if now.ready else "unready", "legacy": now.legacy, "native": now.native},
            200 if now.ready else 503,
        )

    routes = [
        Route("/", overview),
        Route("/status.json", status),
        Route("/metrics", exposition),
        Route("/healthz", alive),
        Route("/readyz", ready),
    ]
    guards = [Middleware(TokenRequired, token=token)] if token else []
    return Starlette(routes=routes, middleware=guards)
