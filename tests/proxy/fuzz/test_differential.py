"""A strict difference between dates is confirmed if native always shows it and legacy never does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from proxy.fuzz.differential import Differential
from proxy.fuzz.execution import Execution
from proxy.fuzz.options import FuzzBackend
from proxy.fuzz.requests import FuzzRequest
from proxy.recordings.player import PlayerSettings
from tests.support.notebook import DATABASE, Database, Notebook
from tests.support.sockets import serving
from tests.support.waiting import PROMPT_TIMEOUT

NATIVE_DATABASE = f"{DATABASE}_native"
JSON_BODY = ("content-type", "application/json")
WRITE = FuzzRequest("POST", "/notes", (("authorization", "Bearer <token 0>"), JSON_BODY), '{"body":"x"}')
REQUESTS = [FuzzRequest("POST", "/login", (JSON_BODY,), '{"name":"amara"}'), WRITE, WRITE]


@pytest.fixture
async def client(mongodb_url: str) -> AsyncIterator[Database]:
    async with AsyncMongoClient[dict[str, Any]](mongodb_url) as client:
        yield client
        for name in (DATABASE, NATIVE_DATABASE):
            await client.drop_database(name)


@asynccontextmanager
async def between(client: Database, url: str, legacy: str, native: str) -> AsyncIterator[Differential]:
    """Open two notebooks with these faults, which are compared strictly."""
    settings = PlayerSettings(PROMPT_TIMEOUT, strict=True, plays=3)
    async with (
        serving(Notebook(client, legacy).app) as legacy_port,
        serving(Notebook(client, native, NATIVE_DATABASE).app) as native_port,
        Differential.between(
            FuzzBackend(f"http://127.0.0.1:{legacy_port}", url, DATABASE),
            FuzzBackend(f"http://127.0.0.1:{native_port}", url, NATIVE_DATABASE),
            settings,
            hang_after=PROMPT_TIMEOUT,
        ) as differential,
    ):
        yield differential


def locations(execution: Execution | None) -> list[str] | None:
    if execution is None:
        return None
    return [one.location for result in execution.differing for one in result.unexplained]


@pytest.mark.parametrize(
    ("legacy", "native", "shown", "confirmed"),
    [
        ("", "", [], []),
        ("", "one date once", [], []),
        ("", "one date", ["body.at", "store.notes.1.at.$date"], ["body.at", "store.notes.1.at.$date"]),
        ("one date once", "", ["body.at", "store.notes.1.at.$date"], None),
        ("one date", "", ["body.at", "store.notes.1.at.$date"], ["body.at", "store.notes.1.at.$date"]),
    ],
)
async def test_difference_that_legacy_does_not_repeat_is_not_confirmed(
    client: Database, mongodb_url: str, legacy: str, native: str, shown: list[str], confirmed: list[str] | None
) -> None:
    async with between(client, mongodb_url, legacy, native) as differential:
        execution = await differential.run({}, REQUESTS)
        assert [step.answer.status for step in execution.scenario.steps] == [200, 201, 201]
        assert locations(execution) == shown
        assert locations(await differential.confirm(execution)) == confirmed
