"""The native app as a whole: start and stop, the order of its middleware, and operation without a database."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import httpx
import pytest
from bson import ObjectId
from starlette.testclient import TestClient

from handlers.app import OPENAPI_DELAY, PRELOAD_DELAY, SHADOW, create_app
from handlers.container import TIMINGS, ServiceTimings
from handlers.legacy.auth import sign
from handlers.settings import Settings, SettingsError
from proxy.backends.native import Native
from tests.support.backends import SECRET, client_of, scratch_database, settings_for
from tests.support.event_loop import DelayLoop
from tests.support.mongodb_relay import Relay
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT, PROMPT_TIMEOUT


@pytest.fixture
def app_client(mongodb_url: str) -> Iterator[TestClient]:
    with scratch_database(mongodb_url) as database:
        app = create_app(settings_for(mongodb_url, database.name))
        with TestClient(app) as client:
            yield client


def test_welcomes(app_client: TestClient) -> None:
    answer = app_client.get("/", headers={"content-type": "application/json"})
    assert answer.text == '{"msg":"welcome to the server"}'
    assert answer.headers["x-powered-by"] == "Express"


@pytest.mark.parametrize("path", ["/api/ai", "/api/ai/nothing/here"])
def test_unmatched_api_paths_require_a_token(app_client: TestClient, path: str) -> None:
    assert app_client.get(path).json() == {"msg": "Please login, no token provided"}
    headers = {"authorization": f"Bearer {sign({'userID': 'x'}, SECRET, 60)}"}
    answer = app_client.get(path, headers=headers)
    assert (answer.status_code, f"Cannot GET {path}" in answer.text) == (404, True)


def test_bodies_are_parsed_before_authentication(app_client: TestClient) -> None:
    answer = app_client.post("/api/ai/search", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 400


def test_body_over_the_limit_is_refused(app_client: TestClient) -> None:
    content = b'{"email":"' + b"a" * 10_500_000 + b'"}'
    answer = app_client.post("/users/login", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, "Payload Too Large" in answer.text) == (413, True)


@pytest.mark.parametrize(("state", "preloads"), [({}, True), ({SHADOW: True}, False)])
def test_app_in_the_shadow_process_preloads_nothing(
    state: dict[str, Any], preloads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("MONGODB_URL", "mongodb://127.0.0.1:1")
    loop = DelayLoop()

    async def start() -> None:
        native = Native("handlers.app:app", state)
        await native.start()
        await native.stop()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(start())
    assert ({PRELOAD_DELAY, OPENAPI_DELAY} <= set(loop.delays)) is preloads


async def test_missing_settings_fail_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JWT_SECRET_KEY", raising=False)
    app = create_app()
    with pytest.raises(SettingsError, match="JWT_SECRET_KEY is missing"):
        async with app.router.lifespan_context(app):
            pass


async def test_unstarted_app_raises_an_error() -> None:
    app = create_app(Settings.load(jwt_secret_key=SECRET))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        with pytest.raises(RuntimeError, match="is not started"):
            await client.get("/")


@contextlib.asynccontextmanager
async def through_a_relay(
    mongodb_url: str, timings: ServiceTimings = TIMINGS
) -> AsyncIterator[tuple[Relay, httpx.AsyncClient]]:
    with scratch_database(mongodb_url) as database, Relay(mongodb_url) as relay:
        app = create_app(settings_for(relay.url, database.name), timings)
        async with app.router.lifespan_context(app), serving(app) as port, client_of(port) as client:
            yield relay, client


async def timed(request: Coroutine[None, None, httpx.Response]) -> tuple[httpx.Response, float]:
    began = time.perf_counter()
    return await request, time.perf_counter() - began


async def test_missing_database_is_503_in_time_until_it_returns(mongodb_url: str) -> None:
    # With a short timeout; test_faults.py uses the default.
    async with through_a_relay(mongodb_url, ServiceTimings(database_timeout=1.0)) as (relay, client):
        headers = {"authorization": f"Bearer {sign({'userID': ObjectId()}, SECRET, 60)}"}
        login = {"email": "a@b", "password": "x"}
        for _ in range(2):
            refused = await asyncio.gather(
                timed(client.get("/users/profile", headers=headers)),
                timed(client.get("/api/prompts", headers=headers)),
                timed(client.post("/users/login", json=login)),
            )
            for answer, taken in refused:
                assert (answer.status_code, answer.json()["error"]) == (503, "database_unavailable")
                assert (answer.headers["retry-after"], answer.headers["vary"]) == ("1", "Origin")
                assert taken < PROMPT_TIMEOUT
            assert (await client.get("/")).status_code == 200
            relay.mend()
            async with asyncio.timeout(HANG_TIMEOUT):
                while (answer := await client.get("/users/profile", headers=headers)).status_code == 503:
                    await asyncio.sleep(0.05)
            assert answer.status_code == 404
            relay.cut()
