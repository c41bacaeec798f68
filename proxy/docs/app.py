"""The public app: serves the paths of `docs:` in routing.yaml and passes all other requests to the gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.config.models import Config
from proxy.docs.openapi import OpenAPI
from proxy.docs.pages import POLICY, REDOC, SWAGGER, AssetFile, Page
from proxy.gateway.scope import first_header
from proxy.server.exchange import ServedExchange, begin_of

_READING: Final = frozenset({"GET", "HEAD"})
_HEADERS: Final = {
    "cache-control": "no-cache",
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

Answer = Callable[[], Awaitable[AssetFile]]


class Docs:
    """The documentation pages in front of the gateway. `directory` is that of routing.yaml."""

    def __init__(self, gateway: ASGIApp, config: Config, native: ASGIApp | None, directory: Path) -> None:
        self._gateway = gateway
        self._begin_behind = begin_of(gateway)
        self._native = native
        self._directory = directory
        self._answers: Mapping[bytes, Answer]
        self.apply_config(config)

    def apply_config(self, config: Config) -> None:
        """Apply a changed configuration, which may enable, disable or move the pages."""
        self._answers, self._served_by = self._prepare(config), config.served_by

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["raw_path"] in self._answers and scope["method"] in _READING:
            file = await self._answers[scope["raw_path"]]()
            await _respond(file, scope, receive, send, named=self._served_by)
        else:
            await self._gateway(scope, receive, send)

    def begin(self, exchange: ServedExchange) -> Awaitable[None] | None:
        """Begin to serve an HTTP request, without a task if the gateway does so: see `proxy.server.exchange`."""
        if self._begin_behind is None or (self._answers and exchange.raw_path in self._answers):
            return self(exchange.scope(), exchange.receive, exchange.send)
        return self._begin_behind(exchange)

    def _prepare(self, config: Config) -> dict[bytes, Answer]:
        """Return the documents by path."""
        docs = config.docs
        if docs is None:
            return {}
        document = OpenAPI(self._directory / config.contracts, self._native, docs.native)
        answers: dict[str, Answer] = {}
        for page, at, title in ((SWAGGER, docs.swagger, "API"), (REDOC, docs.redoc, "API reference")):
            below = at.rstrip("/")
            answers |= {f"{below}/{name}": partial(_shipped, page, name) for name in page.files}
            answers[at] = partial(_page, page, below, docs.openapi, title)
        answers[docs.openapi] = partial(_document, document)
        return {path.encode(): answer for path, answer in answers.items()}


async def _page(page: Page, at: str, openapi: str, title: str) -> AssetFile:
    return page.html(at, openapi, title)


async def _shipped(page: Page, name: str) -> AssetFile:
    return page.file(name)


async def _document(document: OpenAPI) -> AssetFile:
    return AssetFile.of("openapi.json", await document.body())


async def _respond(file: AssetFile, scope: Scope, receive: Receive, send: Send, *, named: bool) -> None:
    headers = {**_HEADERS, "date": formatdate(usegmt=True), "etag": file.tag}
    if named:
        headers["x-served-by"] = "gateway"
    known = (first_header(scope["headers"], b"if-none-match") or b"").decode("latin-1")
    if file.tag in known:
        await Response(status_code=304, headers=headers)(scope, receive, send)
        return
    response = Response(file.body, media_type=file.media_type, headers=headers)
    if scope["method"] == "HEAD":
        response.body = b""
    await response(scope, receive, send)
