"""The boundary between v1 and the legacy's dialect; CORS, headers, and unexpected failures."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from handlers.app import create_app
from handlers.disconnect import ClientDisconnectedError
from handlers.v1.app import OPENAPI, create_v1, is_v1_request
from handlers.v1.errors import add_error_handlers
from handlers.v1.middleware import HEADERS
from tests.support.backend_pair import BackendPair, get
from tests.support.backends import settings_for
from tests.support.v1_client import V1, Surface, expect, v1_surface

pytestmark = pytest.mark.asyncio(loop_scope="session")

ORIGIN = "http://localhost:3000"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def surface(mongodb_url: str) -> AsyncIterator[Surface]:
    async with v1_surface(mongodb_url) as opened:
        yield opened


TARGETS_OUTSIDE_V1 = (
    *("/api/v1", "/api/v1/", "/api/v1x", "/api/v", "//api/v1/users", "/API/V1/users/profile"),
    *("/%61pi/v1/users", "/api/v1%2Fx", "/health"),
)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("target", TARGETS_OUTSIDE_V1)
async def test_paths_outside_v1_are_answered_as_legacy(backends: BackendPair, target: str, method: str) -> None:
    (await backends.send(get(target, method=method))).assert_equal()


@pytest.mark.parametrize("path", ["/nothing", "//", "/users/", "/users", "/users/profile/", "/USERS/profile"])
async def test_unknown_v1_path_is_404(surface: Surface, path: str) -> None:
    answer = await surface.client.get(httpx.URL(str(surface.client.base_url), raw_path=(V1 + path).encode()))
    assert expect(404, answer) == {"detail": "Not Found"}
    assert "x-powered-by" not in answer.headers


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/users/profile", "GET"),
        ("/notes", "GET, POST"),
        ("/notes/0123456789abcdef01234567", "DELETE, PATCH"),
        ("/consultations/start", "POST"),
    ],
)
async def test_wrong_method_lists_the_allowed_ones(surface: Surface, path: str, methods: str) -> None:
    answer = await surface.client.options(V1 + path)
    assert expect(405, answer) == {"detail": "Method Not Allowed"}
    assert answer.headers["allow"] == methods


def scope_of(template: str | None) -> Scope:
    scope = {"type": "http", "path": "/health", "raw_path": b"/health"}
    return scope if template is None else {**scope, "proxy.template": template}


@pytest.mark.parametrize(("template", "v1s"), [("/health", True), ("/*", False), ("/{page}", False), (None, False)])
async def test_health_belongs_to_v1_by_a_declared_route(template: str | None, v1s: bool) -> None:
    assert is_v1_request(scope_of(template)) is v1s


def routed(app: ASGIApp) -> ASGIApp:
    """Return the scope that the gateway passes on for `match: GET /health`."""

    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "proxy.template": "/health"}, receive, send)

    return pass_on


async def test_healthy_app_reports_ok(mongodb_url: str) -> None:
    app = create_app(settings_for(mongodb_url, "unused"))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(routed(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            assert expect(200, await client.get("/health")) == {"status": "healthy"}
            assert expect(200, await client.get("/")) == {"msg": "welcome to the server"}


async def test_allowed_origin_passes_preflight(surface: Surface) -> None:
    headers = {"access-control-request-method": "PATCH", "access-control-request-headers": "authorization"}
    preflight = await surface.client.options(f"{V1}/notes/x", headers={**headers, "origin": ORIGIN})
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    refused = await surface.client.get(f"{V1}/users/profile", headers={"origin": ORIGIN})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ORIGIN)
    assert refused.headers["access-control-allow-credentials"] == "true"


async def test_other_origin_gets_no_cors_headers(surface: Surface) -> None:
    headers = {"origin": "http://elsewhere", "access-control-request-method": "GET"}
    assert (await surface.client.options(f"{V1}/notes", headers=headers)).status_code == 400
    answer = await surface.client.get(f"{V1}/notes", headers={"origin": "http://elsewhere"})
    assert "access-control-allow-origin" not in answer.headers


async def test_answers_forbid_caching_and_sniffing(surface: Surface) -> None:
    for path in (f"{V1}/nothing", OPENAPI):
        answer = await surface.client.get(path)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS


async def test_openapi_is_served(surface: Surface) -> None:
    shown = expect(200, await surface.client.get(OPENAPI))
    assert shown["openapi"].startswith("3.1")
    assert shown == create_v1().openapi()
    ids = [operation["operationId"] for item in shown["paths"].values() for operation in item.values()]
    assert "v1.notes.create" in ids
    assert len(ids) == len(set(ids))


async def test_request_of_a_disconnected_client_has_status_499() -> None:
    app = FastAPI()
    add_error_handlers(app, [])

    @app.get("/")
    async def disconnected() -> None:
        raise ClientDisconnectedError

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        answer = await client.get("/")
    assert (answer.status_code, answer.content) == (499, b"")


async def test_unexpected_failure_is_logged_and_not_shown(surface: Surface) -> None:
    amara = surface.person()
    await amara.post("/prompts", {"name": "x", "text": "x"})
    surface.database.command("collMod", "prompts", validator={"never": True})
    request = {"json": {"name": "x", "text": "x"}, "headers": {"origin": ORIGIN}}
    answer = await amara.send("POST", "/prompts", **request)
    assert expect(500, answer) == {"detail": "Internal Server Error"}
    assert answer.headers["access-control-allow-origin"] == ORIGIN
