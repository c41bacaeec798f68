"""One demo legacy of each kind for all tests that compare the native app with it, on the session's event loop."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from proxy.fuzz.differential import Differential
from tests.differential.runner import between
from tests.differential.sides import sides
from tests.support.backend_pair import BackendPair, legacy_backend, native_backend

SWITCHES = (
    "keep_legacy_tokens_after_logout",
    "keep_legacy_email_operators",
    "keep_legacy_prompt_fields",
    "codes_as_list",
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def backends(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BackendPair]:
    """Start the demo's legacy, and the native app with default settings."""
    log = tmp_path_factory.mktemp("legacy") / "log"
    async with legacy_backend(mongodb_url, log) as legacy, native_backend(mongodb_url) as native:
        yield BackendPair(legacy, native)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def keeping(mongodb_url: str, backends: BackendPair) -> AsyncIterator[BackendPair]:
    """Return the same demo legacy, and a native app that retains the legacy's behaviour in every setting."""
    async with native_backend(mongodb_url, dict.fromkeys(SWITCHES, True)) as native:
        yield BackendPair(backends.legacy, native)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def hurried(mongodb_url: str, backends: BackendPair) -> AsyncIterator[BackendPair]:
    """Return the same demo legacy, and a native app with short deadlines."""
    limits = {"model_deadline": 0.5, "codes_deadline": 0.5}
    async with native_backend(mongodb_url, limits) as native:
        yield BackendPair(backends.legacy, native)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def short_recordings(mongodb_url: str, backends: BackendPair) -> AsyncIterator[BackendPair]:
    """Return the same demo legacy, and a native app that accepts 4,000 bytes of a recording."""
    async with native_backend(mongodb_url, {"audio_limit": 4000}) as native:
        yield BackendPair(backends.legacy, native)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def differential(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Differential]:
    """Return both backends for sequences of requests; native retains the legacy's behaviour."""
    log = tmp_path_factory.mktemp("legacy") / "log"
    async with sides(mongodb_url, log, f"test_{uuid.uuid4().hex[:10]}") as both, between(*both) as differential:
        yield differential
