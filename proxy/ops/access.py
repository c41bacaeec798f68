"""Authenticate and authorize requests to the ops pages.

If a token is set, everything but the health checks requires it. Programs send it (`Authorization: Bearer …`). People
enter it once at `/login` and get a session: a signed cookie that no script can read, and that no page of another site
can make the browser send (HttpOnly, SameSite=Strict). A change through a session also requires that the form repeats
the session's form token (`Principal.form_token`), which only these pages know. The operator's token allows everything,
the viewer's token reading and triage. Without a token nothing can be changed, not even on loopback.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import request_response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from proxy.gateway.client_address import resolve_client
from proxy.gateway.cookies import OPS_COOKIE as COOKIE
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.ops.attempts import TooManyAttemptsError
from proxy.ops.hosts import is_own_host
from proxy.ops.sessions import SESSION_LIFETIME, Role, Session, Sessions

OPEN: Final = frozenset(("/healthz", "/readyz", "/login"))
OPEN_BELOW: Final = "/static/"
MAX_NAME: Final = 64
"""Maximum length of a person's name in characters."""
HEALTH: Final = frozenset(("/healthz", "/readyz"))
_UNKNOWN_HOST: Final = "this host name is not one of `ops.hosts` in routing.yaml\n"
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Principal:
    """The client of a request. `name` is the name that a person entered at `/login`; None for a program.

    `may_triage`: set the states of differences and pin samples. `may_change`: change shares, too. `session` is the
    session of a person. `same_origin` is set for a person whom a trusted proxy has signed in: True if the browser
    reports that the request comes from these pages.
    """

    name: str | None = None
    may_read: bool = True
    may_triage: bool = False
    may_change: bool = False
    session: Session | None = None
    same_origin: bool | None = None

    @classmethod
    def of(cls, role: Role, session: Session | None = None) -> Principal:
        """Return the principal of a role, with the session of a person, or None for a program."""
        name = session.name if session is not None else None
        return cls(name, may_triage=True, may_change=role == "operator", session=session)

    @property
    def form_token(self) -> str:
        """Return the token that a person's forms must repeat; empty without a session."""
        return self.session.form if self.session is not None else ""

    @property
    def is_machine(self) -> bool:
        """Return whether the client is a program, which sends the token itself."""
        return self.may_triage and self.session is None and not self.is_signed_in

    @property
    def is_signed_in(self) -> bool:
        """Return whether a trusted proxy has signed the person in."""
        return self.same_origin is not None

    def has_sent(self, form_token: str) -> bool:
        """Return whether a form came from these pages. A program needs no form token: no browser adds its header."""
        if not self.may_triage:
            return False
        if self.same_origin is not None:
            return self.same_origin
        return not self.form_token or hmac.compare_digest(form_token.encode(), self.form_token.encode())


ANONYMOUS: Final = Principal(may_read=False)


class AuthMiddleware:
    """Admits requests by host and credentials, and adds the headers of every answer.

    `scope["state"]["principal"]` is the principal. Without one, a browser is redirected to `/login`, `session_ended`
    answers a form of these pages, and a program gets a 401.
    """

    def __init__(
        self,
        app: ASGIApp,
        sessions: Sessions | None,
        snapshot: Callable[[], RoutingSnapshot],
        session_ended: Callable[[Request], Awaitable[Response]],
    ) -> None:
        self._app: Final = app
        self._session_ended: Final = request_response(session_ended)
        self._sessions: Final = sessions
        self._snapshot: Final = snapshot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            app = self._app if scope["type"] == "lifespan" else WebSocketClose()  # the ops app has no WebSockets
            await app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        scope.setdefault("state", {})["address"] = self._address(scope)
        try:
            principal = await self._principal(connection)
        except TooManyAttemptsError as error:
            await too_many_attempts(error)(scope, receive, _with_headers(send))
            return
        scope["state"]["principal"] = principal or ANONYMOUS
        refusal = self._refusal(connection, principal)
        await (refusal or self._app)(scope, receive, _with_headers(send))

    def _address(self, scope: Scope) -> str | None:
        client = scope.get("client")
        return resolve_client(scope["headers"], client and client[0], self._snapshot().trusted).address

    async def _principal(self, connection: HTTPConnection) -> Principal | None:
        """Return the principal of a trusted header, a token or a session, or None. Raises TooManyAttemptsError."""
        signed_in = self._signed_in(connection)
        if signed_in is not None:
            return signed_in
        if self._sessions is None:
            return Principal()
        token = _bearer(connection)
        role = self._sessions.role_of(token, connection.scope["state"]["address"]) if token is not None else None
        if role is not None:
            return Principal.of(role)
        session = await self._sessions.find(connection.cookies.get(COOKIE, ""))
        return Principal.of(session.role, session) if session is not None else None

    def _signed_in(self, connection: HTTPConnection) -> Principal | None:
        """Return the person whom a trusted proxy names in `ops.trust_header`; None for any other request."""
        snapshot = self._snapshot()
        header, client = snapshot.config.ops.trust_header, connection.scope.get("client")
        if header is None or not snapshot.trusted.trusts_peer(client and client[0]):
            return None
        names = [name.strip() for name in connection.headers.getlist(header)]
        if len(names) != 1 or not is_valid_name(names[0]):
            return None
        may_change = names[0] in snapshot.config.ops.operators
        return Principal(names[0], may_triage=True, may_change=may_change, same_origin=_is_same_origin(connection))

    def _refusal(self, connection: HTTPConnection, principal: Principal | None) -> ASGIApp | None:
        path, sends_token = connection.scope["path"], principal is not None and principal.is_machine
        if path not in HEALTH and not sends_token:
            host = connection.headers.get("host", "")
            if not is_own_host(host, self._snapshot().config.ops.hosts):
                return PlainTextResponse(_UNKNOWN_HOST, 421)
        open_to_all = path in OPEN or path.startswith(OPEN_BELOW)
        if principal or open_to_all:
            return None
        return self._session_ended if _is_form(connection) else _refusal(connection)


def too_many_attempts(error: TooManyAttemptsError) -> Response:
    """Return the response to an address with too many wrong tokens."""
    seconds = str(math.ceil(error.seconds))
    return PlainTextResponse("too many wrong tokens; try again later\n", 429, {"retry-after": seconds})


def _is_same_origin(connection: HTTPConnection) -> bool:
    """Return True if a browser reports that a request is from a page of this listener (Fetch Metadata, Origin)."""
    site = connection.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return connection.headers.get("origin", "").partition("://")[2] == connection.headers.get("host", "-")


def _is_form(connection: HTTPConnection) -> bool:
    """Return True if a browser sends a form of one of these pages."""
    return connection.scope["method"] == "POST" and _accepts_pages(connection) and _is_same_origin(connection)


def _accepts_pages(connection: HTTPConnection) -> bool:
    return "text/html" in connection.headers.get("accept", "")


def _bearer(connection: HTTPConnection) -> str | None:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else None


def is_valid_name(name: str) -> bool:
    """Return whether a person may have this name: 1 to `MAX_NAME` printable characters."""
    return 0 < len(name) <= MAX_NAME and name.isprintable()


def principal_of(request: Request) -> Principal:
    """Return the principal that the middleware determined."""
    principal: Principal = request.state.principal
    return principal


def own_path(target: str) -> str:
    """Return the page after `/login`: the given path, or `/` for a URL of another site."""
    return target if target.startswith("/") and target[1:2] not in ("/", "\\") and target.isprintable() else "/"


def give_session(response: Response, session: str, *, secure: bool) -> None:
    """Set the session cookie. Browsers ignore ports: they also send it to the public port of the same host."""
    response.set_cookie(
        COOKIE, session, max_age=SESSION_LIFETIME, path="/", secure=secure, httponly=True, samesite="strict"
    )


def end_session(response: Response) -> None:
    """Delete the session cookie."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")


def _refusal(connection: HTTPConnection) -> Response:
    reading = connection.scope["method"] in ("GET", "HEAD")
    if reading and _accepts_pages(connection):
        target = connection.url.path + (f"?{connection.url.query}" if connection.url.query else "")
        return RedirectResponse(f"/login?next={quote(target, safe='')}", 303)
    wanted = "a bearer token is required" if _bearer(connection) is None else "the bearer token is wrong"
    return PlainTextResponse(f"{wanted}\n", 401, {"www-authenticate": "Bearer"})


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending
