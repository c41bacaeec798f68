"""Render a view, which is plain data, as a page or as JSON with the same contents.

A page's JSON is at its path with `.json` appended (`/index.json` for `/`), or selected by `Accept: application/json`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from proxy.ops import charts
from proxy.ops.access import principal_of
from proxy.ops.filters import LAST, VERDICTS, FilterError, Filters
from proxy.ops.formatting import FILTERS
from proxy.ops.rollout_views import WAITS
from proxy.ops.slices import in_slices
from proxy.reports.triage import difference_id
from proxy.rollout.model import LABELS

HERE: Final = Path(__file__).parent
AREAS: Final = (
    ("/", "Migration"),
    ("/live", "Live"),
    ("/comparisons", "Comparisons"),
    ("/divergences", "Divergences"),
    ("/drift", "Contract"),
    ("/history", "History"),
    ("/config", "Configuration"),
)
Endpoint = Callable[[Request], Awaitable[Response]]


class View(Protocol):
    """A frozen dataclass: the contents of a page and of its JSON."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(FILTERS, code=_with_code)
    environment.globals.update(
        areas=AREAS,
        choices={"last": tuple(LAST), "verdicts": VERDICTS},
        split=charts.bar,
        trend=charts.trend,
        outline=charts.outline,
        lines=charts.lines,
        labels=LABELS,
        waits=WAITS,
        markers=charts.markers,
        difference_id=difference_id,
    )
    return environment


def _with_code(text: str) -> Markup:
    """Escape a text, and format text between backticks as code."""
    parts = str(escape(text)).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts)))  # noqa: S704 - escaped


_ENVIRONMENT: Final = _environment()
COMPILE_DELAY: Final = 0.5
"""Seconds from the start of a process until it compiles the templates, after more urgent work."""


async def compile_templates() -> None:
    """Compile the templates in a thread, one after the other, so that the first view of a page is not slower."""
    await asyncio.sleep(COMPILE_DELAY)
    for name in _ENVIRONMENT.list_templates():
        await asyncio.to_thread(_ENVIRONMENT.get_template, name)


def paged(path: str, endpoint: Endpoint) -> list[Route]:
    """Return the routes of a page and of its JSON."""
    return [Route(json_path(path), endpoint), Route(path, endpoint)]


def json_path(path: str) -> str:
    """Return the path of a page's JSON."""
    return "/index.json" if path == "/" else f"{path}.json"


async def answer(request: Request, template: str, view: View, *, area: str, **shown: object) -> Response:
    """Render the view as a page or as JSON. `area` is its entry in the navigation; `shown` is for the page only.

    It is rendered in slices, because a page of many routes takes longer than requests in flight should wait.
    """
    if wants_json(request):
        return Response(await json_of(view), media_type="application/json", headers={"vary": "accept"})
    query = f"?{request.url.query}" if request.url.query else ""
    shown |= {"view": view, "area": area, "json_path": json_path(request.url.path) + query}
    pieces = _ENVIRONMENT.get_template(template).generate(_context(request, shown))
    return _html("".join([piece async for piece in in_slices(pieces)]))


async def json_of(view: View) -> bytes:
    """Return the JSON of a view, written in slices of its long lists."""
    members = [b"%b:%b" % (to_json(field.name), await _json_of(getattr(view, field.name))) for field in fields(view)]
    return b"{%b}" % b",".join(members)


async def _json_of(value: object) -> bytes:
    if not isinstance(value, list | tuple):
        return to_json(value, inf_nan_mode="null")
    return b"[%b]" % b",".join([to_json(item, inf_nan_mode="null") async for item in in_slices(value)])


def page(template: str, request: Request, shown: Mapping[str, object], status: int = 200) -> Response:
    """Render a template with any values."""
    return _html(_ENVIRONMENT.get_template(template).render(_context(request, shown)), status)


def _context(request: Request, shown: Mapping[str, object]) -> dict[str, object]:
    return {
        "area": None,
        "json_path": None,
        "period": 0,
        "principal": principal_of(request),
        "banner": request.app.state.banner(),
        "unredacted": request.app.state.unredacted(),
        "now": request.app.state.now(),
        **shown,
    }


def _html(text: str, status: int = 200) -> Response:
    return HTMLResponse(text, status, {"vary": "accept"})


def wants_json(request: Request) -> bool:
    """Return True if the path or `Accept` selects JSON."""
    accept = request.headers.get("accept", "")
    return request.url.path.endswith(".json") or ("application/json" in accept and "text/html" not in accept)


def error_page(request: Request, status: int, title: str, text: str, entered: str = "") -> Response:
    """Render an error as a page or as JSON. The page repeats the reason that a person has `entered` in a form."""
    if wants_json(request):
        return JSONResponse({"error": title, "detail": text}, status)
    return page("error.html", request, {"title": title, "text": text, "entered": entered}, status)


def filters(request: Request) -> Filters:
    """Return the filters of the URL. Raises FilterError."""
    return Filters.of(request.query_params, time.time())


async def wrong_filter(request: Request, error: Exception) -> Response:
    """Handle an invalid filter."""
    assert isinstance(error, FilterError)
    return error_page(request, 400, "Invalid filter", str(error))


async def unknown_page(request: Request, _: Exception) -> Response:
    """Handle an unknown path."""
    return error_page(request, 404, "Page not found", "No page has this address.")
