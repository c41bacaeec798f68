"""The app of the ops listener: pages for people, each also as JSON, and endpoints for programs.

    /  /live  /history  /config                            the migration, shares, their changes, the configuration
    /comparisons  /routes/NAME  /samples/ID                results of comparisons
    /divergences  /drift                                   declared divergences, violations of the contract
    /status.json  /metrics  /healthz  /readyz              for programs
    /login  /logout                                        sessions

`access.py` authenticates, `rendering.py` renders a view as a page or JSON, `pages/` builds each page's view.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from proxy.observability import metrics
from proxy.ops.access import AuthMiddleware
from proxy.ops.filters import FilterError
from proxy.ops.pacing import PacingMiddleware, PageTurns
from proxy.ops.pages.actions import action_routes
from proxy.ops.pages.board import board, current_banner
from proxy.ops.pages.configuration import configuration
from proxy.ops.pages.contract import divergences, drift
from proxy.ops.pages.difference import difference_routes
from proxy.ops.pages.history import history, route_history
from proxy.ops.pages.live import live
from proxy.ops.pages.overview import overview
from proxy.ops.pages.releases import releases
from proxy.ops.pages.route import route
from proxy.ops.pages.route_live import route_live
from proxy.ops.pages.sample import sample
from proxy.ops.pages.session import session_ended, session_routes
from proxy.ops.process_view import ProcessView
from proxy.ops.readiness import LegacyProbe
from proxy.ops.rendering import paged, unknown_page, wrong_filter
from proxy.ops.sessions import Role, Sessions
from proxy.ops.slices import in_thread
from proxy.ops.status import Current, Status, describe

STATIC: Final = Path(__file__).parent / "static"


def create_ops(process: ProcessView, token: str | None = None, viewer_token: str | None = None) -> Starlette:
    """Return the ops app of one process.

    With a `token`, every request except health checks requires it, or the `viewer_token` for reading and triage.
    """
    probe = LegacyProbe()
    sessions = _sessions(process, token, viewer_token)

    async def current() -> Status:
        legacy = await probe.reachable(process.gateway.snapshot.config.legacy.url)
        return describe(process, legacy=legacy)

    app = Starlette(
        routes=[*_machines(current), *_pages(process, current), *session_routes(sessions)],
        middleware=[
            Middleware(PacingMiddleware, turns=PageTurns(lambda: process.gateway.in_flight > 0)),
            Middleware(
                AuthMiddleware,
                sessions=sessions,
                snapshot=lambda: process.gateway.snapshot,
                session_ended=session_ended,
            ),
        ],
        exception_handlers={FilterError: wrong_filter, 404: unknown_page},
    )
    app.state.unredacted = lambda: process.gateway.snapshot.config.reports.redact == "off"
    app.state.banner = partial(current_banner, process)
    app.state.now = lambda: process.controller.now
    return app


def _sessions(process: ProcessView, token: str | None, viewer_token: str | None) -> Sessions | None:
    """Return the sessions of people; None without a `token`."""
    if not token:
        return None
    tokens: dict[Role, str] = {"operator": token}
    if viewer_token:
        tokens["viewer"] = viewer_token
    return Sessions(tokens, process.revoked_sessions)


def _pages(process: ProcessView, current: Current) -> list[BaseRoute]:
    return [
        *paged("/", board(process, current)),
        *paged("/comparisons", overview(process, current)),
        *paged("/routes/{route}", route(process, current)),
        *paged("/routes/{route}/releases", releases(process)),
        *difference_routes(process),
        *paged("/samples/{sample}", sample(process)),
        *paged("/divergences", divergences(process)),
        *paged("/drift", drift(process)),
        *paged("/config", configuration(process)),
        *paged("/live", live(process, current)),
        *paged("/history", history(process)),
        *paged("/routes/{route}/live", route_live(process)),
        *paged("/routes/{route}/history", route_history(process)),
        *action_routes(process),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]


def _machines(current: Current) -> list[BaseRoute]:
    async def status(_: Request) -> Response:
        return JSONResponse(asdict(await current()))

    async def exposition(_: Request) -> Response:
        return Response(await in_thread(metrics.expose), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> Response:
        now = await current()
        state = {
            "status": "ready" if now.ready else "unready",
            "legacy": now.legacy,
            "native": now.native,
            "limits_reached": now.limits_reached,
        }
        return JSONResponse(state, 200 if now.ready else 503)

    return [
        Route("/status.json", status),
        Route("/metrics", exposition),
        Route("/healthz", alive),
        Route("/readyz", ready),
    ]
