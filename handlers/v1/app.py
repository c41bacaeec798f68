"""The FastAPI app of `/api/v1` and its middleware: limits, CORS, headers.

Its OpenAPI does not depend on services, and is available before start-up.
"""

from typing import Any, Final, cast

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Scope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from handlers.container import Services, lifetime_of
from handlers.services.login_limits import LoginLimits
from handlers.settings import Settings
from handlers.v1 import assistant, consultations, health, notes, prompts, transcription, transcripts, users
from handlers.v1.dependencies import AppState
from handlers.v1.errors import add_error_handlers
from handlers.v1.middleware import BodyLimit, SecureHeaders
from handlers.v1.openapi import WrittenOpenAPI
from handlers.v1.rate_limits import RateLimiter
from handlers.v1.tokens import Tokens

PREFIX: Final = "/api/v1"
DESCRIPTION: Final = """\
`/api/v1` is the API for new clients. It exchanges JSON, requires the token of a login in
`Authorization: Bearer …`, and gives access to the caller's own data only: another clinician's data is a 404.
Errors are `{"detail": …}`; the detail of a 422 lists the invalid fields."""
OPENAPI: Final = f"{PREFIX}/openapi.json"
_ABOVE: Final = f"{PREFIX}/".encode()
RESOURCES: Final = (users, consultations, transcripts, notes, prompts, assistant, transcription)


def is_v1_request(scope: Scope) -> bool:
    """Return whether a request is for v1: below `/api/v1/`, or `/health` by a route of its own."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return (path.startswith(_ABOVE) and path != _ABOVE) or health.is_routed(scope)


def create_v1() -> FastAPI:
    """Return the app. Set `app.state.app_state` before its first request, except for one to its OpenAPI."""
    app = FastAPI(
        title="Scribe",
        version="1",
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_name,
    )
    for resource in RESOURCES:
        app.include_router(resource.router, prefix=PREFIX)
    app.include_router(health.router)
    add_error_handlers(app, route_methods())
    app.state.openapi = WrittenOpenAPI(app)
    app.add_route(OPENAPI, app.state.openapi.show, include_in_schema=False)
    return app


def route_methods() -> list[tuple[str, set[str]]]:
    """Return every path with its methods."""
    below = [(PREFIX, route) for resource in RESOURCES for route in resource.router.routes]
    unprefixed = [("", route) for route in health.router.routes]
    return [
        (prefix + route.path, route.methods or set())
        for prefix, route in below + unprefixed
        if isinstance(route, APIRoute)
    ]


def assemble(
    app: FastAPI, services: Services, settings: Settings, rate_limiter: RateLimiter, login_limits: LoginLimits
) -> ASGIApp:
    """Return the app with its services and middleware."""
    tokens = Tokens(settings.jwt_secret_key.get_secret_value(), lifetime_of(settings))
    app.state.app_state = AppState(services, settings, tokens, rate_limiter, login_limits)
    limited = BodyLimit(app, settings.body_limit)
    shared = CORSMiddleware(
        limited,
        allow_origins=settings.allowed_origins,
        allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=("Authorization", "Content-Type"),
        allow_credentials=True,
        expose_headers=("Retry-After",),
    )
    outermost = ProxyHeadersMiddleware(cast("Any", SecureHeaders(shared)), list(settings.trusted_proxies))
    return cast("ASGIApp", outermost)


def _name(route: APIRoute) -> str:
    """Return `v1.notes.create`: the resource and the function."""
    resource = str(route.tags[0]).removeprefix("v1 ") if route.tags else "service"
    return f"v1.{resource}.{route.name}"
