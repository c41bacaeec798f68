"""Fixtures of the browser's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.browser.browser_stack import BrowserStack, running_stack
from tests.browser.browsing import Browsing, browsing


@pytest.fixture(scope="package")
def stack(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserStack]:
    """Start the services behind the page."""
    with running_stack(mongodb_url, tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browsing]:
    """Start one Chromium for the page."""
    async with browsing() as state:
        yield state
