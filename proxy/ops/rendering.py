"""A view, which is plain data, as the page or the JSON that was asked for: both show the same.

A page's JSON is at its path with `.json` behind it (`/index.json` for `/`), or comes of `Accept: application/json`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic_core import to_jsonable_python
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from proxy.ops import charts
from proxy.ops.access import visitor
from proxy.ops.filters import LAST, VERDICTS, FilterError, Filters
from proxy.ops.formatting import FILTERS

HERE: Final = Path(__file__).parent
AREAS: Final = (
    ("/", "Overview"),
    ("/live", "Live"),
    ("/divergences", "Divergences"),
    ("/drift", "Contract"),
    ("/history", "History"),
    ("/config", "Configuration"),
)
Endpoint = Callable[[Request], Awaitable[Response]]


class View(Protocol):
    """A frozen dataclass: what a page shows, and what its JSON says."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    environment.globals.update(
        areas=AREAS,
        choices={"last": tuple(LAST), "verdicts": VERDICTS},
        split=charts.bar,
        trend=charts.trend,
        lines=charts.lines,
    )
    return environment


_ENVIRONMENT: Final = _environment()


def paged(path: str, endpoint: Endpoint) -> list[Route]:
    """A page, and its JSON beside it."""
    return [Route(beside(path), endpoint), Route(path, endpoint)]


def beside(path: str) -> str:
    """Where a page's JSON is."""
    return "/index.json" if path == "/" else f"{path}.json"


async def answer(request: Request, template: str, view: View, *, area: str, **shown: object) -> Response:
    """The view as a page, or as JSON. `area` is the page of the navigation that it belongs to; a page shows more.

    Made in a thread, since a page of many routes takes longer than requests under way should wait.
    """
    if wants_json(request):
        return JSONResponse(await asyncio.to_thread(to_jsonable_python, view), headers={"vary": "accept"})
    query = f"?{request.url.query}" if request.url.query else ""
    shown |= {"view": view, "area": area, "beside": beside(request.url.path) + query}
    return await asyncio.to_thread(page, template, request, shown)


def page(template: str, request: Request, shown: Mapping[str, object], status: int = 200) -> Response:
    """A page of any values."""
    context = {"area": None, "beside": None, "visitor": visitor(request), "now": time.time(), **shown}
    text = _ENVIRONMENT.get_template(template).render(context)
    return HTMLResponse(text, status, {"vary": "accept"})


def wants_json(request: Request) -> bool:
    """Whether the JSON was asked for, by the path or by `Accept`."""
    accept = request.headers.get("accept", "")
    return request.url.path.endswith(".json") or ("application/json" in accept and "text/html" not in accept)


def error_page(request: Request, status: int, title: str, text: str) -> Response:
    """Why there is nothing to show, for whoever asked."""
    if wants_json(request):
        return JSONResponse({"error": title, "detail": text}, status)
    return page("trouble.html", request, {"title": title, "text": text}, status)


def filters(request: Request) -> Filters:
    """What the URL asks for. Raises FilterError."""
    return Filters.of(request.query_params, time.time())


async def wrong_filter(request: Request, error: Exception) -> Response:
    """An exception handler: what is wrong with the URL."""
    assert isinstance(error, FilterError)
    return error_page(request, 400, "This cannot be looked at", str(error))


async def not_found(request: Request, _: Exception) -> Response:
    """An exception handler: no such page."""
    return error_page(request, 404, "There is nothing here", "No page has this address.")
