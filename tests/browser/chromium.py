"""A real Chromium for tests: its path, its start, and the addresses that it resolves."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from playwright.async_api import Browser, BrowserContext, async_playwright, expect

from tests.support.waiting import HANG_TIMEOUT

TIMEOUT_MS: Final = 1000 * HANG_TIMEOUT
"""Milliseconds after which an element that does not appear, or a browser that does not start, is reported."""

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
)


def find_chromium() -> str | None:
    """Return the path in `CHROMIUM`, or else that of a Chromium on PATH."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("CHROMIUM") or next((path for name in names if (path := shutil.which(name))), None)


@asynccontextmanager
async def chromium(addresses: Mapping[str, str]) -> AsyncIterator[Browser]:
    """Start a browser that resolves each of `addresses` (`host:port`) to another `host:port`.

    Requests are not intercepted: a browser whose requests are intercepted invents the answers to preflights.
    """
    rules = ",".join(f"MAP {name} {address}" for name, address in addresses.items())
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(), args=[*_ARGUMENTS, f"--host-resolver-rules={rules}"], timeout=TIMEOUT_MS
        )
        try:
            yield browser
        finally:
            await browser.close()


async def new_context(browser: Browser, **settings: Any) -> BrowserContext:
    """Return a context without history, whose timeouts allow for a busy machine."""
    context = await browser.new_context(**settings)
    context.set_default_timeout(TIMEOUT_MS)
    expect.set_options(timeout=TIMEOUT_MS)
    return context
