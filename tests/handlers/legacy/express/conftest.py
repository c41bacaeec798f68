"""The real express and the native dialect, each with the same routes, and the libraries of the legacy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.support import express_pair
from tests.support.library_oracle import Libraries


@pytest.fixture(scope="module")
def express() -> Iterator[int]:
    """Run express under Node; yield its port."""
    with express_pair.real() as port:
        yield port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def native() -> AsyncIterator[int]:
    """Serve the native app; yield its port."""
    async with express_pair.native() as port:
        yield port


@pytest.fixture(scope="module")
def node() -> Iterator[Libraries]:
    with Libraries() as libraries:
        yield libraries
