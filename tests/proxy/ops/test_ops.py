"""Machine-readable paths of the ops port, its authentication, and the common parts of its pages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jwt
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from proxy.config.problems import Problem
from proxy.gateway.cookies import OPS_COOKIE as COOKIE
from proxy.gateway.request_record import RequestRecord
from proxy.ops.app import create_ops
from proxy.ops.sessions import SESSION_LIFETIME, Sessions
from tests.support.ops_server import Stage, stage
from tests.support.sockets import scripted
from tests.support.waiting import until

TOKEN = "s3cret-token"
BROWSER = {"accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def guarded(staged: Stage) -> Iterator[TestClient]:
    with TestClient(create_ops(staged, TOKEN), follow_redirects=False) as client:
        yield client


def log_in(client: TestClient, target: str = "/") -> None:
    answer = client.post("/login", data={"name": "Ada", "token": TOKEN, "next": target})
    assert (answer.status_code, answer.headers["location"]) == (303, target)


def test_live_endpoint_answers_ok(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_started_native_makes_a_process_ready(client: TestClient) -> None:
    answer = client.get("/readyz")
    expected = {"status": "ready", "legacy": False, "native": True, "limits_reached": []}
    assert (answer.status_code, answer.json()) == (200, expected)


def test_limit_that_is_reached_is_named_everywhere(client: TestClient, staged: Stage) -> None:
    staged.memory.limit, staged.memory.used = 1000, 1500
    record = RequestRecord("i", "http", "GET", "x", None, "native", "share", None, 503, "gateway_overloaded", 0, 0)
    staged.failures(replace(record, cause="native_requests"))
    refused = "native_requests is reached: 0 of 1,024, 1 refused in the last minute"
    expected = [refused, "memory is reached: 1,500 of 1,000"]
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["limits_reached"]) == (200, expected)
    status = client.get("/status.json").json()
    assert status["limits_reached"] == expected
    assert {"name": "memory", "used": 1500, "limit": 1000, "refused": 0} in status["limits"]
    page = client.get("/", headers=BROWSER).text
    assert "A limit is reached" in page
    assert all(sentence in page for sentence in expected)


def test_status_shows_whether_the_shadow_is_ready(client: TestClient, staged: Stage) -> None:
    for ready in (False, True):
        staged.shadow_ready = ready
        assert client.get("/status.json").json()["shadow_ready"] is ready


def test_process_without_backends_is_unready(client: TestClient, staged: Stage) -> None:
    staged.native_started = False
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "unready")


async def test_reachable_legacy_makes_a_process_ready(tmp_path: Path) -> None:
    from httpx import ASGITransport, AsyncClient

    connections = 0

    async def script(*_: object) -> None:
        nonlocal connections
        connections += 1

    async with scripted(script) as port:
        staged = stage(tmp_path, port)
        staged.native_started = False
        async with AsyncClient(transport=ASGITransport(create_ops(staged)), base_url="http://ops") as client:
            for _ in range(3):
                assert (await client.get("/readyz")).json() == {
                    "status": "ready",
                    "legacy": True,
                    "native": False,
                    "limits_reached": [],
                }
        await until(lambda: connections)  # legacy accepts it later than its kernel


def test_refused_file_is_shown_and_leaves_the_process_ready(client: TestClient, staged: Stage) -> None:
    staged.watcher.problems = (Problem(7, "routes[1].native", "must be a <percentage>"),)
    assert client.get("/readyz").status_code == 200
    page = client.get("/").text
    assert "line 7" in page
    assert "must be a &lt;percentage&gt;" in page
    assert client.get("/status.json").json()["problems"] == [
        {"line": 7, "where": "routes[1].native", "message": "must be a <percentage>", "column": 0}
    ]


def test_status_is_data(client: TestClient) -> None:
    status = client.get("/status.json").json()
    assert status["routes"][2] == {
        "name": "notes.list",
        "match": "GET /api/notes/{id}",
        "native": 12.5,
        "effective": 12.5,
        "shadow": 50.0,
        "pin": None,
        "group": "notes",
    }
    assert status["revision"]


def test_metrics_are_exposed(client: TestClient) -> None:
    assert "scribe_proxy_config_valid" in client.get("/metrics").text


def test_token_is_demanded_of_all_but_the_health_checks(guarded: TestClient) -> None:
    for path in ("/", "/status.json", "/metrics", "/divergences.json", "/nothing"):
        refused = guarded.get(path)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        wrong = guarded.get(path, headers={"authorization": "Bearer wrong"})
        assert (wrong.status_code, wrong.text) == (401, "the bearer token is wrong\n")
        assert guarded.get(path, headers={"authorization": f"bearer {TOKEN}"}).status_code in (200, 404)
    assert guarded.get("/healthz").status_code == 200
    assert guarded.get("/readyz").status_code == 200


def test_browser_is_redirected_to_the_login_and_back(guarded: TestClient) -> None:
    redirect = guarded.get("/routes/notes.list?last=7d", headers=BROWSER)
    assert redirect.status_code == 303
    login = guarded.get(redirect.headers["location"])
    assert 'value="/routes/notes.list?last=7d"' in login.text
    assert "Divergences" not in login.text  # strangers are shown no navigation
    log_in(guarded, "/routes/notes.list?last=7d")
    assert "Ada" in guarded.get("/", headers=BROWSER).text


def test_session_cookie_is_strict_and_http_only(guarded: TestClient) -> None:
    answer = guarded.post("/login", data={"name": "Ada", "token": TOKEN})
    attributes = answer.headers["set-cookie"].lower()
    assert "httponly" in attributes
    assert "samesite=strict" in attributes
    assert TOKEN not in attributes
    assert "secure" not in attributes  # plain HTTP
    assert "secure" in _over_tls(guarded)


def _over_tls(guarded: TestClient) -> str:
    with TestClient(guarded.app, base_url="https://ops", follow_redirects=False) as client:
        return client.post("/login", data={"name": "Ada", "token": TOKEN}).headers["set-cookie"].lower()


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"name": "Ada", "token": "wrong"}, 403),
        ({"name": "Ada"}, 403),
        ({"name": " ", "token": TOKEN}, 400),
        ({"name": "A" * 65, "token": TOKEN}, 400),
        ({"name": "A\x07", "token": TOKEN}, 400),
        ({"name": "Ada", "token": TOKEN, "filling": "x" * 20_000}, 403),
    ],
)
def test_login_requires_a_token_and_a_name(guarded: TestClient, form: dict[str, str], status: int) -> None:
    answer = guarded.post("/login", data=form)
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers


def test_malformed_login_form_is_refused(guarded: TestClient) -> None:
    assert guarded.post("/login", content=b"token=%ff\xff").status_code == 403


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", ""])
def test_login_redirects_to_own_pages_only(guarded: TestClient, target: str) -> None:
    answer = guarded.post("/login", data={"name": "Ada", "token": TOKEN, "next": target})
    assert answer.headers["location"] == "/"


def test_logout_ends_the_session(guarded: TestClient) -> None:
    log_in(guarded)
    page = guarded.get("/").text
    assert guarded.post("/logout", data={"form": "forged"}).status_code == 403
    form_token = page.partition('name="form" value="')[2].partition('"')[0]
    ended = guarded.post("/logout", data={"form": form_token})
    assert (ended.status_code, ended.headers["location"]) == (303, "/login")
    assert guarded.get("/").status_code == 401


@pytest.mark.parametrize(("age", "status"), [(0, 200), (SESSION_LIFETIME - 3600, 200), (SESSION_LIFETIME + 60, 401)])
def test_session_expires(guarded: TestClient, age: float, status: int) -> None:
    session = Sessions({"operator": TOKEN}, clock=lambda: time.time() - age).begin("Ada", "operator")
    assert guarded.get("/", headers={"cookie": f"{COOKIE}={session}"}).status_code == status


@pytest.mark.parametrize(
    "session",
    [
        "nonsense",
        "a.b.c",
        Sessions({"operator": "another token"}).begin("Ada", "operator"),
        jwt.encode({"name": "Ada", "form": "x", "exp": 9_999_999_999}, TOKEN.ljust(32), "HS256"),
        jwt.encode({"name": "Ada", "form": "x", "exp": 9_999_999_999}, None, "none"),
    ],
    ids=["nonsense", "empty parts", "another token", "another key", "unsigned"],
)
def test_forged_session_is_refused(guarded: TestClient, session: str) -> None:
    assert guarded.get("/", headers={"cookie": f"{COOKIE}={session}"}).status_code == 401


def test_login_page_is_404_without_a_token(client: TestClient) -> None:
    assert client.get("/login").status_code == 404
    assert client.post("/logout").status_code == 403
    page = client.get("/").text
    assert "Read only" in page
    assert "Log out" not in page


@pytest.mark.parametrize("path", ["/", "/static/style.css", "/live"])
def test_websocket_on_the_ops_port_is_refused(client: TestClient, path: str) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(path):
        pass


PATHS = [
    "/",
    "/index.json",
    "/live",
    "/config",
    "/status.json",
    "/metrics",
    "/static/style.css",
    "/nothing",
    "/healthz",
]


@pytest.mark.parametrize("path", PATHS)
def test_security_headers_forbid_foreign_resources_and_caches(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'; ")
    assert "unsafe" not in headers["content-security-policy"]
    assert "*" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_unknown_page_is_404(client: TestClient) -> None:
    page, data = client.get("/nothing", headers=BROWSER), client.get("/nothing.json")
    assert (page.status_code, data.status_code) == (404, 404)
    assert "Page not found" in page.text
    assert data.json() == {"error": "Page not found", "detail": "No page has this address."}
