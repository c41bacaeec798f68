"""Swagger UI and Redoc in a real Chromium: both show both APIs, and request nothing from other hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.async_api import ConsoleMessage, Page, expect
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from handlers.v1.app import OPENAPI, create_v1
from proxy.config.loading import load
from proxy.docs.app import Docs
from tests.browser.browsing import Browsing
from tests.browser.chromium import find_chromium, new_context
from tests.support.shipped import ROUTING
from tests.support.sockets import serving

pytestmark = [
    pytest.mark.slow,  # tests/proxy/docs has the pages, what they load, and the document
    pytest.mark.skipif(find_chromium() is None, reason="no chromium on PATH, and CHROMIUM names none"),
    pytest.mark.asyncio(loop_scope="package"),
]

ROOT = Path(__file__).parents[2]
NAMED = {
    "/api/v1/notes",
    "/api/v1/prompts/{prompt_id}/transcripts/{transcript_id}",
    "/api/v1/users/login",
    "/health",
    "/users/users/checkEmail",
}
"""The paths that the tests search for: a browser takes seconds for all 50."""


@dataclass
class Reader:
    """A tab with its requests and its console messages."""

    page: Page
    base: str
    urls: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def receive(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def assert_content(self) -> None:
        assert self.complaints == []
        assert [url for url in self.urls if not url.startswith((self.base, "data:", "blob:"))] == []


def with_named_paths(docs: Docs) -> ASGIApp:
    """Return the pages with a document that has the NAMED paths only."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/openapi.json":
            await docs(scope, receive, send)
            return
        async with httpx.AsyncClient(transport=httpx.ASGITransport(docs), base_url="http://docs") as client:
            document = (await client.get("/openapi.json")).json()
        paths = {path: document["paths"][path] for path in NAMED}
        await JSONResponse({**document, "paths": paths})(scope, receive, send)

    return app


@asynccontextmanager
async def reading(browser: Browsing, path: str, *, whole: bool) -> AsyncIterator[Reader]:
    config = load(ROUTING, {})
    assert config.docs is not None
    assert config.docs.native == OPENAPI
    docs = Docs(PlainTextResponse("gateway", 404), config, create_v1(), ROOT)
    async with (
        serving(docs if whole else with_named_paths(docs)) as port,
        await new_context(browser.browser) as context,
    ):
        reader = Reader(await context.new_page(), f"http://127.0.0.1:{port}")
        reader.page.on("request", lambda request: reader.urls.append(request.url))
        reader.page.on(
            "console", lambda message: reader.complaints.append(message.text) if message.type == "error" else None
        )
        reader.page.on("pageerror", lambda error: reader.complaints.append(str(error)))
        await reader.page.goto(reader.base + path)
        yield reader


WHOLE = pytest.mark.parametrize("whole", [False, True], ids=["named", "whole"])


@WHOLE
async def test_swagger_lists_both_apis_and_sends_requests(browser: Browsing, whole: bool) -> None:
    async with reading(browser, "/docs", whole=whole) as reader:
        operations = reader.page.locator(".opblock")
        await expect(operations.filter(has_text="/api/v1/users/login")).to_be_visible()
        await expect(operations.filter(has_text="/users/users/checkEmail")).to_be_visible()
        health = operations.filter(has_text="/health")
        await health.locator(".opblock-summary-control").click()
        await health.get_by_role("button", name="Try it out").click()
        await health.get_by_role("button", name="Execute").click()
        await expect(health.locator(".live-responses-table")).to_contain_text("gateway")
        assert f"{reader.base}/health" in reader.urls
        reader.complaints = [text for text in reader.complaints if "404" not in text]
        reader.assert_content()


@WHOLE
async def test_redoc_lists_both_apis_and_searches_locally(browser: Browsing, whole: bool) -> None:
    async with reading(browser, "/redoc", whole=whole) as reader:
        note = reader.page.locator("h2", has_text="Write a note on a consultation")
        await expect(note.first).to_be_visible()
        legacy = reader.page.locator("h2", has_text="Report whether an email address is free")
        await expect(legacy.first).to_be_visible()
        await reader.page.get_by_placeholder("Search...").fill("transcript")
        result = reader.page.locator("[role=search]").get_by_text("Link a prompt to a transcript").first
        await expect(result).to_be_visible()
        reader.assert_content()
