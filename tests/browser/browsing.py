"""The frontend's page in a browser, at an origin that the legacy's CORS allows, in tabs that share no state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.web import create_app
from tests.browser.chromium import chromium, new_context
from tests.support.sockets import serving

PAGE = "http://localhost:3000"
"""An origin that the legacy allows. Nothing listens there: the browser resolves it to another address."""

CHUNK_MS = 100
"""Milliseconds of audio in one frame, a fifth of the default, because tests should be short."""


class Browsing:
    """One browser; its tabs are opened one after the other, each on a page with its own API address."""

    def __init__(self) -> None:
        self.browser: Browser
        self._page_server: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._page_server(scope, receive, send)

    @asynccontextmanager
    async def tab(self, api: str, **settings: object) -> AsyncIterator[Page]:
        """Open an empty tab without history; `settings` are those of a browser context.

        The page is asked for reduced motion, so that no test waits for animations. An error of the page itself fails
        the test.
        """
        self._page_server = create_app(api, CHUNK_MS)
        context = await new_context(self.browser, permissions=["microphone"], reduced_motion="reduce", **settings)
        page = await context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        yield page
        await context.close()
        assert faults == []


@asynccontextmanager
async def browsing() -> AsyncIterator[Browsing]:
    state = Browsing()
    async with serving(state) as port, chromium({PAGE.removeprefix("http://"): f"127.0.0.1:{port}"}) as browser:
        state.browser = browser
        yield state
