"""Routers whose routes take their OpenAPI description from docstrings, and parse bodies in slices."""

import codecs
import inspect
import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.routing import APIRoute

from handlers.json_structure import SLICE, StructureError
from handlers.sliced_json import decode_utf8, parse_in_slices


class SlicedRequest(Request):
    """A request whose long JSON body is parsed in slices between which the event loop runs."""

    async def json(self) -> Any:
        """Return the value of the body; raises ValueError, and `HTTPException` for too many values."""
        body = await self.body()
        if len(body) <= SLICE or not json.detect_encoding(body).startswith("utf-8"):
            return await super().json()
        try:
            return await parse_in_slices(await decode_utf8(body.removeprefix(codecs.BOM_UTF8)), json.loads)
        except StructureError as error:
            raise HTTPException(413, "Content Too Large") from error


class DocumentedRoute(APIRoute):
    """A route whose summary is the first sentence of its function's docstring, and its description the rest."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **settings: Any) -> None:
        summary, _, rest = " ".join((inspect.getdoc(endpoint) or "").split()).partition(". ")
        super().__init__(path, endpoint, **{**settings, "summary": summary.removesuffix(".")})
        self.description = rest

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, called with a `SlicedRequest`."""
        handle = super().get_route_handler()

        async def handle_sliced(request: Request) -> Response:
            return await handle(SlicedRequest(request.scope, request.receive))

        return handle_sliced


def create_router(name: str, prefix: str = "") -> APIRouter:
    """Return a router below a prefix; `name` is its tag in the OpenAPI."""
    return APIRouter(prefix=prefix, tags=[f"v1 {name}"], route_class=DocumentedRoute)
