"""Routers whose routes are described in the OpenAPI by their functions' docstrings."""

import inspect
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute


class DocumentedRoute(APIRoute):
    """A route whose summary is the first sentence of its function's docstring, and its description the rest."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **settings: Any) -> None:
        summary, _, rest = " ".join((inspect.getdoc(endpoint) or "").split()).partition(". ")
        super().__init__(path, endpoint, **{**settings, "summary": summary.removesuffix(".")})
        self.description = rest


def create_router(name: str, prefix: str = "") -> APIRouter:
    """Return a router below a prefix; `name` is its tag in the OpenAPI."""
    return APIRouter(prefix=prefix, tags=[f"v1 {name}"], route_class=DocumentedRoute)
