"""The app of `/api/v1`, and what stands around it: limits, CORS, headers.

It needs no services to say what it is: its OpenAPI is the same before it is started.
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
from handlers.v1.rate_limits import RateLimiter
from handlers.v1.tokens import Tokens

PREFIX: Final = "/api/v1"
DESCRIPTION: Final = """\
`/api/v1` is the API for clients written from now on. It takes and gives JSON, asks for the token of a login in
`Authorization: Bearer …`, and knows one's own things alone: what is another clinician's is answered with 404.
Errors are `{"detail": …}`; of a 422 the detail lists the fields at fault."""
OPENAPI: Final = f"{PREFIX}/openapi.json"
_ABOVE: Final = f"{PREFIX}/".encode()
RESOURCES: Final = (users, consultations, transcripts, notes, prompts, assistant, transcription)


def is_v1_request(scope: Scope) -> bool:
    """Whether a request is for v1: what is below `/api/v1/`, and `/health` where a route of its own has led state."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return (path.startswith(_ABOVE) and path != _ABOVE) or health.is_routed(scope)


def create_v1() -> FastAPI:
    """The app; `app.state.app_state` is to be set before it is asked for anything but its OpenAPI."""
    app = FastAPI(
        title="Scribe",
        version="1",
        description=DESCRIPTION,
        openapi_url=OPENAPI,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_name,
    )
    for resource in RESOURCES:
        app.include_router(resource.router, prefix=PREFIX)
    app.include_router(health.router)
    add_error_handlers(app, route_methods())
    return app


def route_methods() -> list[tuple[str, set[str]]]:
    """Every path, with the methods it is there for."""
    below = [(PREFIX, route) for resource in RESOURCES for route in resource.router.routes]
    beside = [("", route) for route in health.router.routes]
    return [
        (prefix + route.path, route.methods or set()) for prefix, route in below + beside if isinstance(route, APIRoute)
    ]


def assemble(
    app: FastAPI, services: Services, settings: Settings, rate_limiter: RateLimiter, login_limits: LoginLimits
) -> ASGIApp:
    """The app with services behind it and all that stands around it."""
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
    told = ProxyHeadersMiddleware(cast("Any", SecureHeaders(shared)), list(settings.trusted_proxies))
    return cast("ASGIApp", told)


def _name(route: APIRoute) -> str:
    """`v1.notes.create`: the resource, and what is done."""
    resource = str(route.tags[0]).removeprefix("v1 ") if route.tags else "service"
    return f"v1.{resource}.{route.name}"
