"""The ops pages, and what machines ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from demo.ports import free_port
from proxy.config import Problem, parse
from proxy.gateway import Gateway, Plan
from proxy.ops.app import create_ops
from tests.sockets import scripted

TEXT = """
legacy: {{url: http://127.0.0.1:{port}}}
native: tests.nowhere:app
routes:
  - {{name: notes.list, match: 'GET /api/notes/{{id}}', native: 12.5%, group: notes, shadow: 5%}}
  - {{name: notes.create, match: 'POST /api/notes/{{id}}', native: 12.5%, group: notes}}
  - {{name: pinned, match: GET /pinned, pin: native}}
"""


@dataclass
class Stage:
    """A situation to show."""

    gateway: Gateway
    problems: tuple[Problem, ...] = ()
    native_started: bool = True


async def nobody(*_: object) -> None:
    raise AssertionError("not asked")


@pytest.fixture
def stage() -> Stage:
    text = TEXT.format(port=free_port())
    return Stage(Gateway(Plan.of(parse(text, {}, "routing.yaml"), nobody, nobody)))


@pytest.fixture
def client(stage: Stage) -> Iterator[TestClient]:
    with TestClient(create_ops(stage)) as client:
        yield client


def test_a_process_that_runs_is_alive(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_native_alone_makes_a_process_ready(client: TestClient) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "legacy": False, "native": True})


def test_neither_side_makes_it_unready(client: TestClient, stage: Stage) -> None:
    stage.native_started = False
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "unready")


async def test_a_legacy_that_accepts_connections_makes_it_ready() -> None:
    from httpx import ASGITransport, AsyncClient

    connections = 0

    async def script(*_: object) -> None:
        nonlocal connections
        connections += 1

    async with scripted(script) as port:
        gateway = Gateway(Plan.of(parse(TEXT.format(port=port), {}, "routing.yaml"), nobody, nobody))
        app: Starlette = create_ops(Stage(gateway, native_started=False))
        async with AsyncClient(transport=ASGITransport(app), base_url="http://ops") as client:
            for _ in range(3):
                assert (await client.get("/readyz")).json() == {"status": "ready", "legacy": True, "native": False}
    assert connections == 1  # asked once, remembered for a while


def test_a_refused_file_shows_but_does_not_make_it_unready(client: TestClient, stage: Stage) -> None:
    stage.problems = (Problem(7, "routes[1].native", "must be a <percentage>"),)
    assert client.get("/readyz").status_code == 200
    page = client.get("/").text
    assert "line 7" in page
    assert "must be a &lt;percentage&gt;" in page
    assert client.get("/status.json").json()["problems"] == [
        {"line": 7, "where": "routes[1].native", "message": "must be a <percentage>"}
    ]


def test_the_overview_shows_every_route_with_its_share(client: TestClient) -> None:
    page = client.get("/").text
    for text in ("notes.list", "12.5%", "GET /api/notes/{id}", "(notes)", "native"):
        assert text in page
    assert "http://" not in page.replace("http://127.0.0.1", "")  # nothing is fetched from outside


def test_the_status_is_the_same_as_data(client: TestClient) -> None:
    status = client.get("/status.json").json()
    assert status["routes"][0] == {
        "name": "notes.list",
        "match": "GET /api/notes/{id}",
        "native": 12.5,
        "shadow": 5.0,
        "pin": None,
        "group": "notes",
    }
    assert status["revision"]


def test_metrics_are_exposed(client: TestClient) -> None:
    assert "scribe_proxy_config_valid" in client.get("/metrics").text


def test_a_token_is_demanded_of_all_but_the_health_checks(stage: Stage) -> None:
    with TestClient(create_ops(stage, token="s3cret-token")) as client:
        for path in ("/", "/status.json", "/metrics"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401
            assert client.get(path, headers={"authorization": "Bearer s3cret-token"}).status_code == 200
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200
