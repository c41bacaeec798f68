"""A native app for tests of replicas: it answers, or fails if the request says so."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse("native", 500 if "x-break" in request.headers else 200)


app = Starlette(routes=[Route("/{rest:path}", answer)])
