"""The native app: the services behind the legacy dialect, `/api/v1` and dry runs.

    handlers.app:app          reads its settings from the environment at start-up
    create_app(settings)      for tests and embedding

Starlette provides the lifespan; the legacy dialect answers everything outside `/api/v1`. MongoDB, the model and the
terminology server may be unavailable at start-up.
"""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Mapping
from typing import Final

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from handlers.container import TIMINGS, Services, ServiceTimings, create_services, lifetime_of, offline_services
from handlers.disconnect import CancellableReads, is_read_without_body
from handlers.dry_run import DECLARATION, DryRunMiddleware, dry_run_of, is_conversation
from handlers.legacy.auth import Verifier, authenticate
from handlers.legacy.express import Application, Handler, Reply, Request, Router, json
from handlers.legacy.express.bodies import json_parser
from handlers.legacy.express.cors import Cors
from handlers.legacy.recorded_model import DryTranscriptionStream
from handlers.legacy.routes.assistant import AssistantRoutes
from handlers.legacy.routes.consultations import ConsultationRoutes
from handlers.legacy.routes.notes import NoteRoutes
from handlers.legacy.routes.prompts import PromptRoutes
from handlers.legacy.routes.transcription import TranscriptionStream
from handlers.legacy.routes.transcripts import TranscriptRoutes
from handlers.legacy.routes.users import UserRoutes
from handlers.services.login_limits import LoginLimits, TooManyAttemptsError
from handlers.settings import Settings
from handlers.storage.errors import UnavailableError
from handlers.v1.app import assemble, create_v1, is_v1_request
from handlers.v1.rate_limits import create_rate_limiter

PRELOAD_DELAY: Final = 1.0
"""Seconds from the start until the model's package is imported, so that the gateway is ready first."""
OPENAPI_DELAY: Final = 3.0
"""Seconds from the start until the OpenAPI of `/api/v1` is written, unless a request needs it before."""
SHADOW: Final = "proxy.shadow"
"""The key of the lifespan's state in a process that only repeats requests: no client waits there."""
METHODS: Final = "GET,POST,PUT,DELETE,PATCH,OPTIONS"
HEADERS: Final = "Content-Type,Authorization"
_DATABASE_UNAVAILABLE: Final = {
    "msg": "The database cannot be reached, please try again",
    "error": "database_unavailable",
}


def legacy_dialect(services: Services, settings: Settings, limits: LoginLimits | None = None) -> Application:
    """Return the legacy's HTTP API, its routes in the legacy's order; without `limits`, logins are not counted."""
    is_revoked = None if settings.keep_legacy_tokens_after_logout else services.token_blocklist.is_revoked
    authenticator = authenticate(Verifier(settings.jwt_secret_key.get_secret_value()), is_revoked)
    router = Router()
    router.get("/", welcome)
    router.use("/", json_parser(settings.body_limit))
    router.use("/users", user_routes(services, settings, authenticator, limits))
    for path, resource in guarded_routes(services, settings).items():
        router.use(path, authenticator, resource)
    cors = Cors(settings.allowed_origins, METHODS, HEADERS)
    return Application(router, cors, {UnavailableError: database_unavailable, TooManyAttemptsError: too_many})


def user_routes(services: Services, settings: Settings, authenticator: Handler, limits: LoginLimits | None) -> Router:
    """Return the routes of `/users`, of which only the profile requires a token."""
    return UserRoutes(
        users=services.users,
        token_blocklist=services.token_blocklist,
        authenticate=authenticator,
        secret=settings.jwt_secret_key.get_secret_value(),
        lifetime=lifetime_of(settings),
        runs_operators=settings.keep_legacy_email_operators,
        limits=limits,
    ).router()


def guarded_routes(services: Services, settings: Settings) -> dict[str, Router]:
    """Return the routes that require a token, by path."""
    ai = AssistantRoutes(
        services.assistant,
        services.terminology,
        services.consultations,
        services.summaries,
        codes_as_list=settings.codes_as_list,
    )
    read = services.store.read
    consultations = ConsultationRoutes(services.consultations, services.prompts, services.assistant, read)
    return {
        "/api/ai": ai.router(),
        "/api/notes": NoteRoutes(services.notes, services.consultations, read).router(),
        "/api/transcript": TranscriptRoutes(services.transcripts).router(),
        "/api/consultation": consultations.router(),
        "/api/prompts": PromptRoutes(
            services.prompts, services.transcripts, sets_any_field=settings.keep_legacy_prompt_fields
        ).router(),
    }


async def welcome(_: Request) -> Reply:
    """Answer `GET /`."""
    return json(200, {"msg": "welcome to the server"})


def database_unavailable(_: Exception) -> Reply:
    """Return the answer of every endpoint while MongoDB is unreachable."""
    reply = json(503, _DATABASE_UNAVAILABLE)
    reply.headers += ((b"retry-after", b"1"),)
    return reply


def too_many(error: Exception) -> Reply:
    """Return the answer to a login over the limits."""
    reply = json(429, {"msg": "Too many attempts, please try again later"})
    seconds = error.retry_after if isinstance(error, TooManyAttemptsError) else 1
    reply.headers += ((b"retry-after", b"%d" % seconds),)
    return reply


class Native:
    """The app while its lifespan runs: HTTP goes to the dialect, WebSockets to the transcription."""

    def __init__(self, settings: Settings | None, timings: ServiceTimings) -> None:
        self._settings = settings
        self._timings = timings
        self._v1: ASGIApp | None = None
        self._http: ASGIApp | None = None
        self._websocket: ASGIApp | None = None
        self._dry_runs: ASGIApp | None = None
        self._dry_websocket: ASGIApp | None = None
        self._reads = CancellableReads()
        self.in_shadow = False

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[Mapping[str, bool]]:
        """Run the services for the lifetime of the app and declare its extensions; raises `SettingsError`."""
        settings = self._settings or Settings.load()
        services = create_services(settings, self._timings)
        rate_limiter = create_rate_limiter(services.store if settings.rate_limits_shared else None)
        limits = LoginLimits(rate_limiter, settings.login_limit, settings.failed_login_limit)
        v1 = create_v1()
        self._v1 = assemble(v1, services, settings, rate_limiter, limits)
        self._http = legacy_dialect(services, settings, limits)
        self._websocket = TranscriptionStream(services.model.transcribe, limit=settings.audio_limit)
        self._dry_websocket = DryTranscriptionStream(settings.audio_limit)
        self._dry_runs = DryRunMiddleware(
            legacy_dialect(offline_services(services, settings), settings), services.store, accepts=is_of_dialect
        )
        if self._settings is None:  # served rather than embedded
            gc.collect()
            gc.freeze()  # a full collection would visit every imported object: 60 ms, most of p99
            if not self.in_shadow:
                loop = asyncio.get_running_loop()
                loop.call_later(PRELOAD_DELAY, services.model.preload)
                loop.call_later(OPENAPI_DELAY, v1.state.openapi.write)
        try:
            yield DECLARATION
        finally:
            self._v1 = self._http = self._websocket = self._dry_runs = self._dry_websocket = None
            await services.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or one WebSocket, either of which may be a dry run."""
        if dry_run_of(scope):
            await _require_started(self._choose_dry_run(scope))(scope, receive, send)
            return
        app = _require_started(self._choose(scope))
        if is_read_without_body(scope):
            await self._reads.run(app, scope, receive, send)
        else:
            await app(scope, receive, send)

    def _choose(self, scope: Scope) -> ASGIApp | None:
        if is_v1_request(scope):
            return self._v1
        return self._http if scope["type"] == "http" else self._websocket

    def _choose_dry_run(self, scope: Scope) -> ASGIApp | None:
        dry = is_conversation(scope) and not is_v1_request(scope)
        return self._dry_websocket if dry else self._dry_runs


def is_of_dialect(scope: Scope) -> bool:
    """Return whether a request is an HTTP request of the legacy's API."""
    return scope["type"] == "http" and not is_v1_request(scope)


def _require_started(app: ASGIApp | None) -> ASGIApp:
    if app is None:
        raise RuntimeError("the native app is not started: its lifespan must run first")
    return app


class App(Starlette):
    """Starlette's lifespan before the native app, which answers requests itself.

    Starlette's error handling is not used: each API has its own error pages, and a failed dry run must not be answered.
    """

    def __init__(self, native: Native) -> None:
        super().__init__(lifespan=native.lifespan)
        self._native = native

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the lifespan, or answer one request or one WebSocket."""
        if scope["type"] == "lifespan":
            self._native.in_shadow = SHADOW in scope.get("state", {})
            await super().__call__(scope, receive, send)
        else:
            await self._native(scope, receive, send)


def create_app(settings: Settings | None = None, timings: ServiceTimings = TIMINGS) -> Starlette:
    """Return the native app; without settings it reads them from the environment at start-up."""
    return App(Native(settings, timings))


app = create_app()
