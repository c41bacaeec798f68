"""Who may see the ops pages, and who may change anything through them.

With a token set, everything but the health checks wants it: machines bear it (`Authorization: Bearer …`), people give
it once at `/login` and get a session, a signed cookie that no script can read and no other site's page can make the
browser send (HttpOnly, SameSite=Strict). What changes something wants more of a session: the form must repeat what
only our own pages could know of it (`Visitor.form_token`). Without a token set nothing can be changed, loopback or not.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import jwt
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from proxy.cookies import OPS_COOKIE as COOKIE

OPEN: Final = frozenset(("/healthz", "/readyz", "/login"))
OPEN_BELOW: Final = "/static/"
LASTING: Final = 12 * 3600
"""Seconds a session lasts."""
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks. `name` is what a person called themselves at `/login`, None of a machine that bears the token.

    `form_token` is what a person's forms must repeat; empty where there is no session.
    """

    name: str | None = None
    may_read: bool = True
    may_change: bool = False
    form_token: str = ""

    def sent(self, form_token: str) -> bool:
        """Whether a form came from our own pages. A bearer needs no such proof: no browser adds it by itself."""
        if not self.may_change:
            return False
        return not self.form_token or hmac.compare_digest(form_token.encode(), self.form_token.encode())


STRANGER: Final = Visitor(may_read=False)


class Sessions:
    """Makes sessions and knows them again; every process with the same token does, other workers and later ones too."""

    def __init__(self, token: str) -> None:
        self._token: Final = token.encode()
        self._key: Final = hashlib.sha256(b"scribe-proxy ops session\0" + self._token).digest()

    def accepts(self, token: str) -> bool:
        """Whether it is the token; compared in constant time."""
        return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._token)

    def begin(self, name: str) -> str:
        """A session of that person, as the cookie's value."""
        claims = {"name": name, "form": secrets.token_urlsafe(16), "exp": int(time.time()) + LASTING}
        return jwt.encode(claims, self._key, "HS256")

    def visitor(self, connection: HTTPConnection) -> Visitor | None:
        """Who shows the token or a session of ours; None for anybody else."""
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.accepts(given):
            return Visitor(may_change=True)
        return self._of_session(connection.cookies.get(COOKIE, ""))

    def _of_session(self, session: str) -> Visitor | None:
        try:
            claims: dict[str, Any] = jwt.decode(session, self._key, ["HS256"], {"require": ["exp", "name", "form"]})
        except jwt.InvalidTokenError:
            return None
        return Visitor(claims["name"], may_change=True, form_token=claims["form"])


class Door:
    """Lets in who may, notes who it is in `scope["state"]["visitor"]`, and sends the headers that every answer bears.

    Everybody else: a browser is sent to `/login`, a machine gets a 401.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions | None) -> None:
        self._app: Final = app
        self._sessions: Final = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            app = self._app if scope["type"] == "lifespan" else WebSocketClose()  # nothing here speaks WebSocket
            await app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        visitor = Visitor() if self._sessions is None else self._sessions.visitor(connection)
        scope.setdefault("state", {})["visitor"] = visitor or STRANGER
        open_to_all = scope["path"] in OPEN or scope["path"].startswith(OPEN_BELOW)
        app = self._app if visitor or open_to_all else _refusal(connection)
        await app(scope, receive, _with_headers(send))


def visitor(request: Request) -> Visitor:
    """Who asks, as the door noted it."""
    found: Visitor = request.state.visitor
    return found


def own_path(target: str) -> str:
    """Where to go after `/login`: a path of ours, whatever a link says."""
    return target if target.startswith("/") and target[1:2] not in ("/", "\\") and target.isprintable() else "/"


def give_session(response: Response, session: str, *, secure: bool) -> None:
    """Let the browser keep a session. (Cookies know no ports: it comes to the public port of the same host, too.)"""
    response.set_cookie(COOKIE, session, max_age=LASTING, path="/", secure=secure, httponly=True, samesite="strict")


def end_session(response: Response) -> None:
    """Let the browser forget its session."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")


def _refusal(connection: HTTPConnection) -> Response:
    reading = connection.scope["method"] in ("GET", "HEAD")
    if reading and "text/html" in connection.headers.get("accept", ""):
        target = connection.url.path + (f"?{connection.url.query}" if connection.url.query else "")
        return RedirectResponse(f"/login?next={quote(target, safe='')}", 303)
    return PlainTextResponse("a bearer token is required\n", 401, {"www-authenticate": "Bearer"})


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending
