"""Login and logout: a person enters the token and a name once, and the browser gets a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from proxy.ops.access import end_session, give_session, is_valid_name, own_path, principal_of, too_many_attempts
from proxy.ops.attempts import TooManyAttemptsError
from proxy.ops.rendering import Endpoint, error_page, page
from proxy.ops.sessions import Sessions

MAX_FORM_SIZE: Final = 16 * 1024
"""Maximum size of a form in bytes."""
FOREIGN_FORM: Final = "The form was not sent from one of these pages. Reload the page and try again."
NOTHING_CHANGED: Final = "Nothing was changed"
SESSION_ENDED: Final = "Your session has ended. Log in and send the form again."


async def read_form(request: Request) -> Mapping[str, str]:
    """Return the fields of a URL-encoded form; none if it is invalid or longer than `MAX_FORM_SIZE`."""
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_FORM_SIZE:
            return {}
    try:
        return dict(parse_qsl(data.decode(), keep_blank_values=True, max_num_fields=20))
    except ValueError:
        return {}


def refused_form(request: Request, form: Mapping[str, str], status: int, text: str) -> Response:
    """Return the page of a change that was refused; it repeats the reason that the form contains."""
    return error_page(request, status, NOTHING_CHANGED, text, entered=form.get("reason", ""))


async def session_ended(request: Request) -> Response:
    """Refuse a form that was sent without a session, as after its end, but keep the entered reason."""
    response = refused_form(request, await read_form(request), 401, SESSION_ENDED)
    response.headers["www-authenticate"] = "Bearer"
    return response


def session_routes(sessions: Sessions | None) -> list[Route]:
    """Return the routes of `/login` and `/logout`. `sessions` is None without a token."""
    return [
        Route("/login", _login(sessions), methods=["GET", "POST"]),
        Route("/logout", _logout(sessions), methods=["POST"]),
    ]


def _login(sessions: Sessions | None) -> Endpoint:
    async def login(request: Request) -> Response:
        if sessions is None:
            return error_page(request, 404, "Login is not available", "OPS_TOKEN is not set.")
        if request.method != "POST":
            return _login_page(request, own_path(request.query_params.get("next", "/")))
        form = await read_form(request)
        name = form.get("name", "").strip()
        target = own_path(form.get("next", "/"))
        try:
            role = sessions.role_of(form.get("token", ""), request.state.address)
        except TooManyAttemptsError as error:
            return too_many_attempts(error)
        if role is None:
            return _login_page(request, target, name, "Wrong token.", 403)
        if not is_valid_name(name):
            return _login_page(request, target, "", "A name of 1 to 64 characters is required.", 400)
        response = RedirectResponse(target, 303)
        give_session(response, sessions.begin(name, role), secure=request.url.scheme == "https")
        return response

    return login


def _logout(sessions: Sessions | None) -> Endpoint:
    async def logout(request: Request) -> Response:
        form = await read_form(request)
        if not principal_of(request).has_sent(form.get("form", "")):
            return error_page(request, 403, "Not logged out", FOREIGN_FORM)
        session = principal_of(request).session
        if sessions is not None and session is not None:
            await sessions.end(session)
        response = RedirectResponse("/login", 303)
        end_session(response)
        return response

    return logout


def _login_page(request: Request, target: str, name: str = "", wrong: str = "", status: int = 200) -> Response:
    return page("login.html", request, {"next": target, "name": name, "wrong": wrong}, status)
