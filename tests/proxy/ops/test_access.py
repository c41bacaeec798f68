"""Access to the ops pages: guessed tokens, ended sessions, and requests from other sites."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from common.background_tasks import BackgroundTasks
from demo.ports import free_port
from proxy.config.loading import parse
from proxy.config.problems import ConfigError
from proxy.config.service_models import MongoSettings
from proxy.database.database import Database
from proxy.gateway.cookies import OPS_COOKIE
from proxy.ops.app import create_ops
from proxy.ops.attempts import FREE_FAILURES, MAX_CLIENTS, MAX_DELAY, FailedAttempts, TooManyAttemptsError
from proxy.ops.hosts import is_own_host
from proxy.ops.revocations import COLLECTION, RevokedSessions
from tests.support.mongodb_relay import Relay
from tests.support.ops_server import ROUTING, stage
from tests.support.waiting import until_async

TOKEN = "an-ops-token-of-some-length"
BROWSER = {"accept": "text/html"}
BEARER = {"authorization": f"Bearer {TOKEN}"}
VIEWER = "a-viewer-token-of-some-length"
WRONG = {"authorization": "Bearer wrong"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_ops(stage(tmp_path, free_port()), TOKEN), follow_redirects=False) as client:
        yield client


def log_in(client: TestClient, token: str = TOKEN) -> str:
    """Log in, and return the cookie's value."""
    answer = client.post("/login", data={"name": "Ada", "token": token})
    assert answer.status_code == 303
    return answer.cookies[OPS_COOKIE]


def log_out(client: TestClient) -> None:
    page = client.get("/", headers=BROWSER).text
    form = page.partition('name="form" value="')[2].partition('"')[0]
    assert client.post("/logout", data={"form": form}).status_code == 303


def test_logout_invalidates_copies_of_the_cookie(client: TestClient) -> None:
    copied, other = log_in(client), log_in(client)
    client.cookies.clear()
    client.cookies.set(OPS_COOKIE, copied)
    log_out(client)
    client.cookies.clear()
    assert client.get("/", headers={"cookie": f"{OPS_COOKIE}={copied}"}).status_code == 401
    assert client.get("/", headers={"cookie": f"{OPS_COOKIE}={other}"}).status_code == 200


def test_refusals_and_logins_are_not_cached(client: TestClient) -> None:
    answers = [client.get("/", headers=headers) for headers in ({}, WRONG, BROWSER)]
    answers += [client.get("/login"), client.post("/login", data={"name": "Ada", "token": TOKEN})]
    answers += [client.get("/", headers={"host": "evil.example"})]
    assert [answer.status_code for answer in answers] == [401, 401, 303, 200, 303, 421]
    assert [answer.headers["cache-control"] for answer in answers] == ["no-store"] * len(answers)


@pytest.fixture
def shared_with_viewers(tmp_path: Path) -> Iterator[TestClient]:
    app = create_ops(stage(tmp_path, free_port()), TOKEN, VIEWER)
    with TestClient(app, follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize("by", ["bearer", "session"])
def test_viewer_can_read_and_not_change(by: str, shared_with_viewers: TestClient) -> None:
    client, headers = shared_with_viewers, {}
    if by == "bearer":
        headers = {"authorization": f"Bearer {VIEWER}"}
    else:
        log_in(client, VIEWER)
    page = client.get("/routes/notes.list/actions", headers=headers)
    assert (page.status_code, "A viewer cannot change shares" in page.text) == (200, True)
    for step in ("rollback", "promote", "pause", "resume", "ack"):
        form = {"reason": "r", "actor": "Ada", "form": page.text.partition('name="form" value="')[2].partition('"')[0]}
        refused = client.post(f"/routes/notes.list/{step}", data=form, headers=headers)
        assert (refused.status_code, "The viewer token does not allow it" in refused.text) == (403, True)


@pytest.mark.parametrize("form", ["/routes/notes.list/rollback", "/differences/abc", "/samples/abc/pin"])
@pytest.mark.parametrize("session", ["ended", "replaced"])
def test_refused_form_repeats_the_reason(form: str, session: str, client: TestClient) -> None:
    if session == "replaced":
        log_in(client)  # the form is of the session before
    origin = {"origin": str(client.base_url)}
    refused = client.post(form, data={"reason": "<b>errors</b>", "form": "old"}, headers=BROWSER | origin)
    assert refused.status_code == (403 if session == "replaced" else 401)
    assert "Your reason: &lt;b&gt;errors&lt;/b&gt;" in refused.text
    assert ("Log in and send the form again" in refused.text) == (session == "ended")


@pytest.mark.parametrize("headers", [{}, BROWSER, BROWSER | {"origin": "http://elsewhere.example"}])
def test_form_of_another_site_is_not_repeated(headers: dict[str, str], client: TestClient) -> None:
    refused = client.post("/routes/notes.list/rollback", data={"reason": "errors"}, headers=headers)
    assert (refused.status_code, refused.text) == (401, "a bearer token is required\n")


def test_viewer_session_ends_with_its_token_only(tmp_path: Path, shared_with_viewers: TestClient) -> None:
    viewer = {"cookie": f"{OPS_COOKIE}={log_in(shared_with_viewers, VIEWER)}"}
    operator = {"cookie": f"{OPS_COOKIE}={log_in(shared_with_viewers)}"}
    with TestClient(create_ops(stage(tmp_path, free_port()), TOKEN, "another-viewer-token")) as changed:
        assert changed.get("/", headers=viewer).status_code == 401
        assert changed.get("/", headers=operator).status_code == 200
    with TestClient(create_ops(stage(tmp_path, free_port()), TOKEN)) as without:
        assert without.get("/", headers=viewer).status_code == 401


def test_logout_ends_the_session_in_other_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    workers = [create_ops(stage(tmp_path, free_port()), TOKEN) for _ in range(2)]
    with TestClient(workers[0], follow_redirects=False) as one, TestClient(workers[1]) as other:
        headers = {"cookie": f"{OPS_COOKIE}={log_in(one)}"}
        assert other.get("/", headers=headers).status_code == 200
        log_out(one)
        assert other.get("/", headers=headers).status_code == 401


async def test_every_logout_lasts_until_the_session_would_expire() -> None:
    revoked = RevokedSessions()
    for session in ("a", "b", "c"):
        await revoked.revoke(session, time.time() + 60)
    assert [await revoked.is_revoked(session) for session in ("a", "b", "c", "d")] == [True, True, True, False]
    await revoked.revoke("past", time.time() - 60)
    await revoked.revoke("e", time.time() + 60)
    assert not await revoked.is_revoked("past")  # its cookie is refused by its own expiry; memory is bounded


async def test_shared_directory_does_not_show_ended_sessions(tmp_path: Path) -> None:
    await RevokedSessions(directory=tmp_path).revoke("session-a", time.time() + 60)
    assert await RevokedSessions(directory=tmp_path).is_revoked("session-a")
    (file,) = tmp_path.iterdir()
    assert "session-a" not in file.name + file.read_text()


async def test_ended_sessions_are_shared_through_mongodb(mongodb_url: str) -> None:
    name = f"ops_{uuid.uuid4().hex[:12]}"
    databases = [Database.of(MongoSettings(url=SecretStr(mongodb_url), database=name)) for _ in range(2)]
    one, other = databases
    assert one is not None
    assert other is not None
    try:
        await one.reach()
        await other.reach()
        assert not await RevokedSessions(other).is_revoked("a")
        await RevokedSessions(one).revoke("session-a", time.time() + 60)
        assert await RevokedSessions(other).is_revoked("session-a")
        assert not await RevokedSessions(other).is_revoked("session-b")
        (document,) = [document async for document in other.collection(COLLECTION).find()]
        assert "session-a" not in str(document)
    finally:
        await one.command({"dropDatabase": 1})
        await one.close()
        await other.close()


async def test_logout_without_mongodb_is_local(caplog: pytest.LogCaptureFixture) -> None:
    database = Database(f"mongodb://127.0.0.1:{free_port()}", "x", 0.2)
    revoked = RevokedSessions(database)
    await revoked.revoke("a", time.time() + 60)
    assert await revoked.is_revoked("a")
    assert not await revoked.is_revoked("b")
    assert "MongoDB is unreachable" in caplog.text
    await database.close()


async def test_logout_during_an_outage_is_shared_after_it(mongodb_url: str) -> None:
    name = f"ops_{uuid.uuid4().hex[:12]}"
    with Relay(mongodb_url) as relay:
        one, other = Database(relay.url, name, 0.2), Database(mongodb_url, name)
        revoked, tasks = RevokedSessions(one, retry_interval=0.01), BackgroundTasks()
        try:
            await other.reach()
            tasks.start(revoked.run())
            await revoked.revoke("a", time.time() + 3600)
            assert not await RevokedSessions(other).is_revoked("a")
            relay.mend()
            await until_async(lambda: RevokedSessions(other).is_revoked("a"))
        finally:
            await tasks.stop()
            await other.command({"dropDatabase": 1})
            await other.close()
            await one.close()


def test_wrong_tokens_are_logged_and_slowed_down(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "scribe_proxy"):
        statuses = [client.get("/metrics", headers=WRONG).status_code for _ in range(FREE_FAILURES + 2)]
    assert statuses == [401] * FREE_FAILURES + [429] * 2
    messages = [record.getMessage() for record in caplog.records]
    assert len([message for message in messages if "a wrong token from testclient" in message]) == FREE_FAILURES
    assert "Bearer" not in caplog.text
    refused = client.post("/login", data={"name": "Ada", "token": TOKEN})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert client.get("/healthz").status_code == 200


def test_right_token_forgets_the_wrong_ones_before(client: TestClient) -> None:
    for headers in (*[WRONG] * (FREE_FAILURES - 1), BEARER) * 3:
        assert client.get("/status.json", headers=headers).status_code == (401 if headers is WRONG else 200)


def test_wrong_tokens_lock_out_their_client_only(tmp_path: Path) -> None:
    app = create_ops(stage(tmp_path, free_port()), TOKEN)
    with TestClient(app, client=("203.0.113.7", 1)) as guesser, TestClient(app, client=("203.0.113.8", 1)) as other:
        for _ in range(FREE_FAILURES + 1):
            guesser.get("/metrics", headers=WRONG)
        assert guesser.get("/metrics", headers=BEARER).status_code == 429
        assert other.get("/metrics", headers=BEARER).status_code == 200


def test_delay_doubles_up_to_a_limit_and_success_resets_it() -> None:
    now = 0.0
    counted = FailedAttempts(lambda: now)
    waits = []
    for _ in range(FREE_FAILURES + 12):
        try:
            counted.admit("203.0.113.7")
        except TooManyAttemptsError as error:
            waits.append(error.seconds)
            now += error.seconds
        counted.admit("203.0.113.7")
        counted.fail("203.0.113.7")
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(waits) == MAX_DELAY
    counted.succeed("203.0.113.7")
    counted.admit("203.0.113.7")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.7", "::ffff:203.0.113.7", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("203.0.113.7", "203.0.113.8", False),
    ],
)
def test_addresses_of_one_client_count_together(one: str, other: str, same: bool) -> None:
    counted = FailedAttempts(lambda: 0.0)
    for _ in range(FREE_FAILURES):
        counted.fail(one)
    if same:
        with pytest.raises(TooManyAttemptsError):
            counted.admit(other)
    else:
        counted.admit(other)


def test_latest_failed_client_replaces_the_oldest() -> None:
    counted = FailedAttempts(lambda: 0.0)
    for number in (*range(MAX_CLIENTS), 0, MAX_CLIENTS):
        for _ in range(FREE_FAILURES):
            counted.fail(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    counted.admit("10.0.0.1")
    for number in (0, 2, MAX_CLIENTS):
        with pytest.raises(TooManyAttemptsError):
            counted.admit(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1:8001", True),
        ("[::1]:8001", True),
        ("10.0.0.7", True),
        ("localhost:8001", True),
        ("LocalHost.", True),
        ("ops.localhost:80", True),
        ("ops.example", True),
        ("OPS.example:8001", True),
        ("evil.example:8001", False),
        ("ops.example.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example:8001:8001", False),
        ("localhost@evil.example", False),
        ("", False),
    ],
)
def test_hosts_are_addresses_localhost_and_listed_names(host: str, own: bool) -> None:
    assert is_own_host(host, ("ops.example",)) is own


@pytest.mark.parametrize("token", [TOKEN, None])
def test_foreign_host_header_is_refused(tmp_path: Path, token: str | None) -> None:
    rebound = {"host": "evil.example:8001"}
    with TestClient(create_ops(stage(tmp_path, free_port()), token)) as client:
        for path in ("/", "/status.json", "/login", "/metrics", "/static/style.css"):
            answer = client.get(path, headers=rebound)
            assert answer.status_code == 421
            assert "ops.hosts" in answer.text
        assert client.get("/healthz", headers=rebound).status_code == 200
        assert client.get("/", headers={"host": "127.0.0.1:8001"}).status_code == (401 if token else 200)
        if token:
            assert client.get("/metrics", headers={**rebound, **BEARER}).status_code == 200


@pytest.fixture
def behind_proxy(tmp_path: Path) -> Callable[[str], TestClient]:
    """Return a client from an address; 10.0.0.1 is the proxy that signs people in."""
    text = ROUTING + "trusted_proxies: 10.0.0.1\n"
    text = text.replace(
        "{{hosts: [testserver, ops]}}", "{{hosts: [testserver], trust_header: x-user, operators: [Ada]}}"
    )
    app = create_ops(stage(tmp_path, free_port(), text), TOKEN)
    return lambda address: TestClient(app, follow_redirects=False, client=(address, 1))


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("10.0.0.1", {"x-user": "Ada"}, 200),
        ("10.0.0.1", {"x-user": "Grace"}, 200),
        ("10.0.0.1", {}, 401),
        ("10.0.0.1", {"x-user": " "}, 401),
        ("10.0.0.1", {"x-user": "a" * 65}, 401),
        ("10.0.0.2", {"x-user": "Ada"}, 401),
        ("10.0.0.2", {"x-user": "Ada", "x-forwarded-for": "10.0.0.1"}, 401),
    ],
)
def test_user_of_a_trusted_proxy_is_logged_in(
    behind_proxy: Callable[[str], TestClient], address: str, headers: dict[str, str], status: int
) -> None:
    assert behind_proxy(address).get("/live", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("name", "headers", "status"),
    [
        ("Ada", {"sec-fetch-site": "same-origin"}, 303),
        ("Ada", {"origin": "http://testserver"}, 303),
        ("Ada", {"sec-fetch-site": "cross-site", "origin": "http://testserver"}, 403),
        ("Ada", {"origin": "http://evil.example"}, 403),
        ("Ada", {}, 403),
        ("Grace", {"sec-fetch-site": "same-origin"}, 403),
    ],
)
def test_operator_of_a_trusted_proxy_changes_shares_from_pages(
    behind_proxy: Callable[[str], TestClient], name: str, headers: dict[str, str], status: int
) -> None:
    client = behind_proxy("10.0.0.1")
    answer = client.post("/routes/notes.list/rollback", data={"reason": "r"}, headers={"x-user": name, **headers})
    assert answer.status_code == status
    if status == 303:
        assert client.get("/history.json", headers={"x-user": name}).json()["changes"][0]["by"]["actor"] == "Ada"
    assert ("does not name Grace" in answer.text) == (name == "Grace")
    assert "Log out" not in client.get("/", headers={"x-user": name}).text


@pytest.mark.parametrize("ops", ["{trust_header: x-user}", "{operators: [Ada]}"])
def test_header_without_a_trusted_proxy_is_refused(ops: str) -> None:
    with pytest.raises(ConfigError, match="needs `trust"):
        parse(f"legacy: {{url: http://x}}\nops: {ops}\n", {})
