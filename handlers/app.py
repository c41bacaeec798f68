"""The native app: Scribe's services, opened and closed with the server, behind the legacy's dialect.

    handlers.app:app          reads its settings from the environment when it starts
    create_app(settings)      for tests, and for whoever embeds it

Starlette is the frame, for the lifespan and for what stands beside the dialect (`/api/v1`); the dialect answers
everything else itself. MongoDB, the model and the terminology server may be away when the app starts.
"""

import contextlib
import gc
from collections.abc import AsyncIterator, Mapping
from typing import Final

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from handlers.container import Services, create_services, lifetime_of, without_others
from handlers.dry_run import DECLARATION, DryRunMiddleware, announced
from handlers.legacy.auth import Verifier, authenticate
from handlers.legacy.express import Application, Handler, Reply, Request, Router, json
from handlers.legacy.express.bodies import json_parser
from handlers.legacy.express.cors import Cors
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

METHODS: Final = "GET,POST,PUT,DELETE,PATCH,OPTIONS"
HEADERS: Final = "Content-Type,Authorization"
_AWAY: Final = {"msg": "The database cannot be reached, please try again", "error": "database_unavailable"}


def legacy_dialect(services: Services, settings: Settings, limits: LoginLimits | None = None) -> Application:
    """Return everything that the legacy answers over HTTP, in its order; without `limits`, logins are not counted."""
    is_revoked = None if settings.keep_legacy_tokens_after_logout else services.token_blocklist.is_revoked
    door = authenticate(Verifier(settings.jwt_secret_key.get_secret_value()), is_revoked)
    router = Router()
    router.get("/", welcome)
    router.use("/", json_parser(settings.body_limit))
    router.use("/users", user_routes(services, settings, door, limits))
    for path, resource in guarded_routes(services, settings).items():
        router.use(path, door, resource)
    cors = Cors(settings.allowed_origins, METHODS, HEADERS)
    return Application(router, cors, {UnavailableError: database_away, TooManyAttemptsError: too_many})


def user_routes(services: Services, settings: Settings, door: Handler, limits: LoginLimits | None) -> Router:
    """What is open, but for one's profile."""
    return UserRoutes(
        users=services.users,
        token_blocklist=services.token_blocklist,
        authenticate=door,
        secret=settings.jwt_secret_key.get_secret_value(),
        lifetime=lifetime_of(settings),
        runs_operators=settings.keep_legacy_email_operators,
        limits=limits,
    ).router()


def guarded_routes(services: Services, settings: Settings) -> dict[str, Router]:
    """What is behind the door, by path."""
    ai = AssistantRoutes(
        services.assistant, services.terminology, services.summaries, codes_as_list=settings.codes_as_list
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
    """`GET /`."""
    return json(200, {"msg": "welcome to the server"})


def database_away(_: Exception) -> Reply:
    """What every endpoint says while MongoDB cannot be reached."""
    reply = json(503, _AWAY)
    reply.headers += ((b"retry-after", b"1"),)
    return reply


def too_many(error: Exception) -> Reply:
    """Return the answer to a login beyond the limits."""
    reply = json(429, {"msg": "Too many attempts, please try again later"})
    seconds = error.retry_after if isinstance(error, TooManyAttemptsError) else 1
    reply.headers += ((b"retry-after", b"%d" % seconds),)
    return reply


class Native:
    """The app between its start and its end: HTTP to the dialect, WebSockets to the transcription."""

    def __init__(self, settings: Settings | None) -> None:
        self._settings = settings
        self._v1: ASGIApp | None = None
        self._http: ASGIApp | None = None
        self._websocket: ASGIApp | None = None
        self._dry_runs: ASGIApp | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[Mapping[str, bool]]:
        """Open the services for as long as the app runs; raises `SettingsError`. Declares what the app can do."""
        settings = self._settings or Settings.load()
        services = create_services(settings)
        rate_limiter = create_rate_limiter(settings)
        limits = LoginLimits(rate_limiter, settings.login_limit, settings.failed_login_limit)
        self._v1 = assemble(create_v1(), services, settings, rate_limiter, limits)
        self._http = legacy_dialect(services, settings, limits)
        self._websocket = TranscriptionStream(services.model.transcribe, limit=settings.audio_limit)
        self._dry_runs = DryRunMiddleware(
            legacy_dialect(without_others(services), settings), services.store, takes=is_of_dialect
        )
        if self._settings is None:  # served, not embedded
            gc.collect()
            gc.freeze()  # else each full collection walks all that was imported: 60 ms, and most of p99
        try:
            yield DECLARATION
        finally:
            self._v1 = self._http = self._websocket = self._dry_runs = None
            rate_limiter.close()
            await services.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or one WebSocket."""
        await _started(self._choose(scope))(scope, receive, send)

    def _choose(self, scope: Scope) -> ASGIApp | None:
        if is_v1_request(scope):
            return self._v1
        return self._http if scope["type"] == "http" else self._websocket

    def with_dry_runs(self, app: ASGIApp) -> ASGIApp:
        """An app, but for dry runs: whatever is announced as one gets no further than to those."""

        async def choose(scope: Scope, receive: Receive, send: Send) -> None:
            chosen = _started(self._dry_runs) if announced(scope) else app
            await chosen(scope, receive, send)

        return choose


def is_of_dialect(scope: Scope) -> bool:
    """Whether the legacy answers it too, over HTTP."""
    return scope["type"] == "http" and not is_v1_request(scope)


def _started(app: ASGIApp | None) -> ASGIApp:
    if app is None:
        raise RuntimeError("the native app has not been started: its lifespan has to run first")
    return app


class App(Starlette):
    """Starlette, behind dry runs: where one comes to nothing there is to be no answer, not even Starlette's."""

    def __init__(self, native: Native) -> None:
        super().__init__(lifespan=native.lifespan)
        self.router.default = native
        self._native = native

    def build_middleware_stack(self) -> ASGIApp:
        """As Starlette's, which answers errors."""
        return self._native.with_dry_runs(super().build_middleware_stack())


def create_app(settings: Settings | None = None) -> Starlette:
    """The native app; without settings it reads them from the environment when it starts."""
    return App(Native(settings))


app = create_app()
