"""Servers that the tests of this package share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.websocket_forwarding import forwarding
from tests.support.websocket_legacy import Legacy, legacy_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node() -> AsyncIterator[Legacy]:
    """Start Node behind a gateway."""
    async with legacy_server() as legacy, forwarding(legacy.port) as port:
        legacy.gateway = port
        yield legacy
