"""One stand-in of each kind for all who hold the native app against it, on the session's event loop."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from proxy.fuzz.differential import Differential
from tests.differential.runner import between
from tests.differential.sides import sides
from tests.support.backend_pair import Twins, legacy_twin, native_twin

SWITCHES = (
    "keep_legacy_tokens_after_logout",
    "keep_legacy_email_operators",
    "keep_legacy_prompt_fields",
    "codes_as_list",
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def twins(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twins]:
    """The stand-in, and the native app as it comes."""
    log = tmp_path_factory.mktemp("stand-in") / "log"
    async with legacy_twin(mongodb_url, log) as legacy, native_twin(mongodb_url) as native:
        yield Twins(legacy, native)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def keeping(mongodb_url: str, twins: Twins) -> AsyncIterator[Twins]:
    """The same stand-in, and a native app with every switch turned."""
    async with native_twin(mongodb_url, dict.fromkeys(SWITCHES, True)) as native:
        yield Twins(twins.legacy, native)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def hurried(mongodb_url: str, twins: Twins) -> AsyncIterator[Twins]:
    """The same stand-in, and a native app with deadlines that a test can wait for."""
    limits = {"model_deadline": 0.5, "codes_deadline": 0.5}
    async with native_twin(mongodb_url, limits) as native:
        yield Twins(twins.legacy, native)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def short_recordings(mongodb_url: str, twins: Twins) -> AsyncIterator[Twins]:
    """The same stand-in, and a native app that takes 4,000 bytes of a recording."""
    async with native_twin(mongodb_url, {"audio_limit": 4000}) as native:
        yield Twins(twins.legacy, native)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def duel(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Differential]:
    """Both sides for whole sequences of requests; the native app keeps the legacy's way."""
    log = tmp_path_factory.mktemp("legacy") / "log"
    async with sides(mongodb_url, log, f"test_{uuid.uuid4().hex[:10]}") as both, between(*both) as found:
        yield found
