"""A page of a real browser that records console messages and requests to other hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from playwright.async_api import Browser, ConsoleMessage, Page, Request, expect

from tests.browser.chromium import new_context

TOKEN = "s3cret-token"
ContextSettings = dict[str, object]
DESKTOP: ContextSettings = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}


@dataclass
class Tab:
    """A page of a browser context, with its console messages and its requests to other hosts."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def opened(cls, browser: Browser, base: str, settings: ContextSettings) -> AsyncIterator[Tab]:
        context = await new_context(browser, base_url=base, **settings)
        tab = cls(await context.new_page(), base)
        tab.page.on("console", tab.receive)
        tab.page.on("request", tab.check_address)
        tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        yield tab
        await context.close()
        assert tab.complaints == []

    async def log_in(self) -> None:
        await self.page.goto("/live")
        await self.page.get_by_label("Your name").fill("Ada")
        await self.page.get_by_label("Ops token").fill(TOKEN)
        await self.page.get_by_role("button", name="Log in").click()
        await expect(self.page.get_by_role("heading", name="Live")).to_be_visible()

    def receive(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "/nothing" not in message.location["url"]:
            self.complaints.append(message.text)

    def check_address(self, request: Request) -> None:
        if not request.url.startswith(self.base):
            self.complaints.append(f"asked for {request.url}")
