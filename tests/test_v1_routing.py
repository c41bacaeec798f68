"""v1 behind the gateway: routes to it, paths that stay with the legacy, and the docs pages in front of both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.responses import PlainTextResponse

from demo.services import ROOT
from handlers.app import create_app
from handlers.v1.app import OPENAPI
from proxy.config.loading import load, parse
from proxy.docs.app import Docs
from proxy.gateway.gateway import Gateway
from proxy.gateway.snapshot import RoutingSnapshot
from tests.support.backends import client_of, settings_for
from tests.support.shipped import ROUTING
from tests.support.sockets import serving

LEGACY = "legacy: {url: http://127.0.0.1:9}\nnative: handlers.app:app\nroutes:\n"
EVERYTHING = '  - {name: all, match: "* /*", native: 100%}\n'
HEALTH = "  - {name: v1.health, match: GET /health, native: 100%}\n"


@asynccontextmanager
async def gateway(mongodb_url: str, text: str) -> AsyncIterator[httpx.AsyncClient]:
    """Start the gateway with its docs pages, the native app, and a legacy that names itself in its answers."""
    config = parse(text, {}, "routing.yaml")
    native = create_app(settings_for(mongodb_url, "unused"))
    behind = Gateway(RoutingSnapshot.of(config, PlainTextResponse("legacy"), native))
    public = Docs(behind, config, native, ROOT)
    async with native.router.lifespan_context(native), serving(public) as port, client_of(port) as client:
        yield client


async def test_health_belongs_to_v1_by_its_own_route_only(mongodb_url: str) -> None:
    async with gateway(mongodb_url, LEGACY) as client:
        assert (await client.get("/health")).text == "legacy"
    async with gateway(mongodb_url, LEGACY + EVERYTHING) as client:
        assert "Cannot GET /health" in (await client.get("/health")).text
    async with gateway(mongodb_url, LEGACY + HEALTH + EVERYTHING) as client:
        assert (await client.get("/health")).json() == {"status": "healthy"}
        assert "Cannot GET /HEALTH" in (await client.get("/HEALTH")).text
        assert "Cannot POST /health" in (await client.post("/health")).text


async def test_shipped_file_routes_v1_and_documents_it(mongodb_url: str) -> None:
    docs = load(ROUTING, {}).docs
    assert docs is not None
    assert docs.native == OPENAPI
    async with gateway(mongodb_url, ROUTING.read_text()) as client:
        refused = await client.get("/api/v1/users/profile")
        assert (refused.status_code, refused.json()) == (401, {"detail": "Not authenticated"})
        assert refused.headers["x-served-by"] == "native"
        for path in ("/", "/health", "/users/profile", "/api/prompts", "/api/v1", "/api/v1x"):
            assert (await client.get(path)).text == "legacy", path
        document = (await client.get("/openapi.json")).json()
        assert {"/users/login", "/api/v1/users/login", "/api/v1/consultations"} <= document["paths"].keys()
        assert "swagger-ui-bundle.js" in (await client.get("/docs")).text
