"""The frontend's page in a browser, at an origin that the legacy's CORS allows, in tabs that share no state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, BrowserContext, Page
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.web import create_app
from tests.browser.chromium import chromium, new_context
from tests.support.sockets import serving

PAGE = "http://localhost:3000"
"""An origin that the legacy allows. Nothing listens there: the browser resolves it to another address."""

CHUNK_MS = 100
"""Milliseconds of audio in one frame, a fifth of the default, because tests should be short."""


class Browsing:
    """One browser; its windows are opened one after the other, each for pages with its own API address."""

    def __init__(self) -> None:
        self.browser: Browser
        self._page_server: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._page_server(scope, receive, send)

    @asynccontextmanager
    async def window(self, api: str, **settings: object) -> AsyncIterator[BrowserContext]:
        """Open a window without history, whose pages use the API at `api`; `settings` are those of a browser context.

        The pages are asked for reduced motion, so that no test waits for animations.
        """
        self._page_server = create_app(api, CHUNK_MS)
        context = await new_context(self.browser, permissions=["microphone"], reduced_motion="reduce", **settings)
        yield context
        await context.close()

    @asynccontextmanager
    async def tab(self, api: str) -> AsyncIterator[Page]:
        """Open an empty tab in a window of its own."""
        async with self.window(api) as window, tab_of(window) as page:
            yield page


@asynccontextmanager
async def tab_of(window: BrowserContext) -> AsyncIterator[Page]:
    """Open an empty tab in a window. An error of the page itself fails the test."""
    page = await window.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    await page.close()
    assert faults == []


@asynccontextmanager
async def browsing() -> AsyncIterator[Browsing]:
    state = Browsing()
    async with serving(state) as port, chromium({PAGE.removeprefix("http://"): f"127.0.0.1:{port}"}) as browser:
        state.browser = browser
        yield state
