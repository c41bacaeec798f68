"""The live view, the history and the action buttons of shares."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from demo.ports import free_port
from proxy.database.database import Database
from proxy.gateway.request_record import RequestRecord
from proxy.observability.recent_failures import RecentFailures
from proxy.ops.app import create_ops
from proxy.ops.fleet import Fleet
from proxy.rollout.fleet import ProcessHealth
from proxy.rollout.mongo import MongoStore
from tests.support.ops_server import Stage, roll_out, stage
from tests.support.page_text import text_of

TOKEN = "s3cret-token"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@contextmanager
def visiting(staged: Stage, token: str | None = TOKEN) -> Iterator[TestClient]:
    """Return a client of the pages of a running controller."""
    with TestClient(create_ops(staged, token), follow_redirects=False) as client:
        assert client.portal is not None
        client.portal.call(roll_out, staged)
        yield client
        client.portal.call(staged.controller.stop)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Start one gateway for all tests that change nothing."""
    with visiting(stage(tmp_path_factory.mktemp("ops"), free_port())) as client:
        client.headers.update(BEARER)
        yield client


@pytest.fixture
def person(staged: Stage) -> Iterator[TestClient]:
    with visiting(staged) as client:
        assert client.post("/login", data={"name": "Ada", "token": TOKEN}).status_code == 303
        yield client


def routes(client: TestClient) -> dict[str, Any]:
    return {route["name"]: route for route in client.get("/live.json").json()["routes"]}


def form(page: str, step: str) -> dict[str, str]:
    """Return the hidden fields of a page's form."""
    inside = page.partition(f'/{step}"')[2].partition("</form>")[0]
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', inside))


def test_live_view_shows_both_backends_of_every_route(machine: TestClient) -> None:
    data = machine.get("/live.json").json()
    assert (data["shared"], data["unreachable"]) == (False, False)
    route = routes(machine)["notes.list"]
    assert (route["file"], route["effective"], route["by"], route["guard"]) == (12.5, 12.5, "file", None)
    legacy, native = route["legacy"], route["native"]
    assert legacy["rate"] == pytest.approx(15, abs=1)
    assert native["rate"] == pytest.approx(2.5, abs=0.1)
    assert (legacy["server_errors"], native["errors"]) == (0, 0)
    assert legacy["errors"] > 0
    assert native["p50"] < native["p95"] <= native["p99"] < legacy["p99"]
    assert len(legacy["rates"]) == len(legacy["slowest"]) == 11
    text = text_of(machine.get("/live").text)
    assert "notes.list GET /api/notes/{id} no guard 12.5% the file's share" in text
    assert re.search(r"native 2\.5 0% 0% \d+ ms \d+ ms \d+ ms legacy 15 2\.\d+% 0% \d+ ms", text)
    assert "native 2.5/s, p95" in text  # on a phone
    assert text.index("1 route without requests transcription 0%") > text.index("prompts.list")


def test_live_view_explains_the_effective_share(machine: TestClient) -> None:
    listed = routes(machine)
    assert (listed["prompts.list"]["by"], listed["prompts.list"]["effective"]) == ("stage", 10.0)
    assert (listed["prompts.list"]["progress"]["following"], listed["prompts.list"]["progress"]["waits"]) == (
        50.0,
        "bake_time",
    )
    assert (listed["consultations.list"]["by"], listed["consultations.list"]["effective"]) == ("cap", 0.0)
    assert listed["consultations.list"]["guard"]["findings"][1]["outcome"] == "fail"
    assert listed["transcription"]["by"] == "pin"
    text = text_of(machine.get("/live").text)
    assert "the rollout is at 10% · the file allows 100%" in text
    assert re.search(r"10% → 50% in 1 h 59 min bake time", text)
    assert "capped limited to 0% by Ada: notes came out twice" in text
    assert "guard fails" in text
    assert "guard passes" in text


def test_live_view_refreshes_until_that_is_stopped(machine: TestClient) -> None:
    page = machine.get("/live").text
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page
    assert 'data-refresh="5"' in page
    # "Paused" is the state of a rollout, which the same page shows.
    assert 'refreshed every 5 s · <a href="/live?refresh=no">stop</a>' in page
    stopped = machine.get("/live?refresh=no").text
    assert "http-equiv" not in stopped
    assert "refresh.js" not in stopped
    assert 'not refreshed · <a href="/live">refresh</a>' in stopped


def test_history_lists_actor_action_and_reason(machine: TestClient) -> None:
    changes = machine.get("/history.json").json()["changes"]
    assert [(one["kind"], one["by"]["actor"], one["route"]) for one in changes] == [
        ("cap", "guard", "consultations.list"),
        ("rollback", "Ada", "notes.create"),
        ("promotion", "Grace", "prompts.list"),
        ("start", "schedule", "prompts.list"),
        ("config", "routing.yaml", ""),
    ]
    text = text_of(machine.get("/history?route=prompts.list").text)
    assert "promoted prompts.list 1% → 10% all quiet since Monday by Grace" in text
    assert "notes.create" not in text


def test_route_page_offers_applicable_actions(person: TestClient) -> None:
    staged, capped = (
        person.get("/routes/prompts.list/actions").text,
        person.get("/routes/consultations.list/actions").text,
    )
    pinned = person.get("/routes/transcription/actions").text
    for step, there, on in (
        ("promote", True, staged),
        ("pause", True, staged),
        ("rollback", True, staged),
        ("ack", False, staged),
        ("resume", False, staged),
        ("ack", True, capped),
        ("promote", False, capped),
        ("rollback", False, capped),
        ("rollback", False, pinned),
    ):
        assert (f'/{step}"' in on) is there, step
    assert "No action is available" in text_of(pinned)
    text = text_of(staged)
    assert "bake time 2 h 1% 10% 50% 100% 10% → 50% in" in text_of(person.get("/routes/prompts.list/live").text)
    assert "as Ada; actor and reason are recorded in the history" in text
    capped = text_of(person.get("/routes/consultations.list/live").text)
    assert "server errors fail" in capped
    assert "In force until acknowledged." in capped


def test_operator_promotes_pauses_resumes_and_rolls_back(person: TestClient) -> None:
    path = "/routes/prompts.list"
    for step, more, by, share in (
        ("promote", {}, "stage", 50.0),
        ("pause", {}, "stage", 50.0),
        ("resume", {}, "stage", 50.0),
        ("rollback", {"share": "1%"}, "cap", 1.0),
    ):
        sent = {**form(person.get(f"{path}/actions").text, step), "reason": f"to try {step}", **more}
        answer = person.post(f"{path}/{step}", data=sent)
        assert (answer.status_code, answer.headers["location"]) == (303, f"{path}/live")
        route = routes(person)["prompts.list"]
        assert (route["by"], route["effective"]) == (by, share)
    assert routes(person)["prompts.list"]["cap"]["by"]["actor"] == "Ada"
    newest = person.get("/history.json?route=prompts.list").json()["changes"][:4]
    assert [(one["kind"], one["by"]["actor"], one["by"]["reason"]) for one in newest] == [
        ("rollback", "Ada", "to try rollback"),
        ("resume", "Ada", "to try resume"),
        ("pause", "Ada", "to try pause"),
        ("promotion", "Ada", "to try promote"),
    ]


def test_cap_is_acknowledged(person: TestClient) -> None:
    path = "/routes/consultations.list"
    page = person.get(f"{path}/actions").text
    assert re.search("guard's cap when its cooldown ends, in 9 min .* until then the share stays at 0%", text_of(page))
    assert person.post(f"{path}/ack", data={**form(page, "ack"), "reason": "fixed"}).status_code == 303
    assert "Acknowledged by Ada; removed after the cooldown, in 9 min" in text_of(person.get(f"{path}/live").text)
    assert routes(person)["consultations.list"]["effective"] == 0
    page = person.get(f"{path}/actions").text
    assert "Acknowledged by Ada: the cap is removed when its cooldown ends, in 9 min" in text_of(page)
    at_once = {**form(page, "ack"), "reason": "at once", "at_once": "yes"}
    assert person.post(f"{path}/ack", data=at_once).status_code == 303
    assert routes(person)["consultations.list"]["effective"] == 25


def test_forged_form_changes_nothing(person: TestClient) -> None:
    path = "/routes/prompts.list"
    sent = {**form(person.get(f"{path}/actions").text, "promote"), "reason": "because"}
    for forged in ({**sent, "form": "forged"}, {**sent, "form": ""}, {"reason": "because"}):
        answer = person.post(f"{path}/promote", data=forged)
        assert (answer.status_code, "was not sent from one of these pages" in answer.text) == (403, True)
    assert routes(person)["prompts.list"]["effective"] == 10


def test_action_on_an_outdated_state_is_refused(person: TestClient) -> None:
    path = "/routes/prompts.list"
    sent = {**form(person.get(f"{path}/actions").text, "promote"), "reason": "because"}
    assert person.post(f"{path}/promote", data=sent).status_code == 303
    again = person.post(f"{path}/promote", data=sent)
    assert again.status_code == 409
    assert "has changed meanwhile: promoted by Ada, from 10% to 50% (because). Check it and try again" in text_of(
        again.text
    )
    assert routes(person)["prompts.list"]["effective"] == 50


def test_refused_action_keeps_the_entered_reason(person: TestClient) -> None:
    path = "/routes/prompts.list"
    stale = {**form(person.get(f"{path}/actions").text, "promote"), "reason": 'all "quiet" here'}
    assert person.post(f"{path}/promote", data=stale).status_code == 303
    refused = person.post(f"{path}/promote", data=stale)
    assert refused.status_code == 409
    assert 'value="all &#34;quiet&#34; here"' in refused.text
    again = {**form(refused.text, "promote"), "reason": "again"}
    assert person.post(f"{path}/promote", data=again).status_code == 303


def test_refusal_shows_the_reason_of_an_action_that_is_gone(person: TestClient) -> None:
    path = "/routes/consultations.list"  # capped by its guard
    page = person.get(f"{path}/actions").text
    assert 'action="/routes/consultations.list/rollback"' not in page
    refused = person.post(f"{path}/rollback", data={**form(page, "ack"), "reason": "errors since nine"})
    assert refused.status_code == 409
    assert "Your reason: errors since nine" in refused.text


def test_own_rollback_is_lifted_at_once(person: TestClient) -> None:
    path = "/routes/notes.create"
    page = person.get(f"{path}/actions").text
    assert "Lift the rollback" in page
    assert "Acknowledge" not in page
    assert person.post(f"{path}/ack", data={**form(page, "ack"), "reason": "fixed"}).status_code == 303
    newest = person.get("/history.json?route=notes.create").json()["changes"][0]
    assert (newest["kind"], newest["before"], newest["after"]) == ("release", 0.0, 12.5)


def test_live_view_is_searched_and_sorted(machine: TestClient) -> None:
    def names(query: str) -> list[str]:
        return [route["name"] for route in machine.get(f"/live.json?{query}").json()["routes"]]

    assert names("q=NOTES&sort=file") == ["notes.list", "notes.create"]
    assert names("sort=name") == sorted(names(""))
    assert names("sort=capped")[:2] == ["consultations.list", "notes.create"]
    assert names("sort=traffic")[0] == "consultations.list"
    assert names("")[:2] == ["consultations.list", "notes.create"]  # capped ones first, those without requests last
    assert names("")[-1] == "transcription"
    assert '<details class="other idle-routes" id="idle" open>' in machine.get("/live?q=transcription").text
    assert "No route matches “nothing”." in text_of(machine.get("/live?q=nothing").text)


@contextmanager
def in_two_processes(person: TestClient, staged: Stage, health: ProcessHealth) -> Iterator[dict[str, Any]]:
    """Yield the live page's data once another process, with the same statistics, has published its state."""
    other = Fleet(staged.controller, RecentFailures(), lambda: 5, lambda: health)
    assert person.portal is not None
    person.portal.call(other.start)
    data = person.get("/live.json").json()
    while data["processes"] < 2:  # read at most once a second
        data = person.get("/live.json").json()
    yield data
    person.portal.call(other.stop)


def test_pages_show_totals_of_all_processes(person: TestClient, staged: Stage) -> None:
    before = routes(person)["notes.list"]["native"]
    with in_two_processes(person, staged, ProcessHealth(revision=staged.gateway.snapshot.config.revision)) as data:
        after = next(route for route in data["routes"] if route["name"] == "notes.list")["native"]
        assert after["requests"] == 2 * before["requests"] > 0
        assert after["rate"] == pytest.approx(2 * before["rate"])
        assert (data["processes"], data["in_flight"]) == (2, 5)
        assert "5 in 2 processes" in text_of(person.get("/live").text)


def test_pages_show_the_health_of_each_process(person: TestClient, staged: Stage) -> None:
    health = ProcessHealth(legacy_down=True, native_healthy=False, revision="another", refused="routing.yaml:3: wrong")
    staged.watcher.snapshots = tuple(replace(one, at=one.at - 60) for one in staged.watcher.snapshots)
    with in_two_processes(person, staged, health) as data:
        assert data["members"][1]["health"]["legacy_down"] is True
        guarded = next(route for route in data["routes"] if route["name"] == "consultations.list")
        assert guarded["guard_processes"][-1] == data["members"][1]["name"]
        live, board = text_of(person.get("/live").text), text_of(person.get("/").text)
        assert "fails its health checks fails: consultations.list another a newer one is refused" in live
        assert "Native fails its health checks in 1 of 2 processes" in board
        assert "routing.yaml is refused by a process" in board
        assert "Processes run different files" in board


def test_history_is_filtered_and_paged(machine: TestClient) -> None:
    page = machine.get("/history.json?limit=2").json()
    assert len(page["changes"]) == 2
    assert page["changes"][0]["kind"] == "cap"
    older = machine.get(f"/history.json?limit=2&{page['older']}").json()
    assert [one["kind"] for one in older["changes"]] == ["promotion", "start"]
    assert [one["by"]["actor"] for one in machine.get("/history.json?actor=Grace").json()["changes"]] == ["Grace"]
    assert [one["route"] for one in machine.get("/history.json?kind=rollback").json()["changes"]] == ["notes.create"]
    assert "Older changes" in machine.get("/history?limit=2").text
    every = len(machine.get("/history.json").json()["changes"])
    assert machine.get(f"/history.json?limit={every}").json()["older"] == ""
    assert "No change matches." in machine.get("/history?actor=nobody").text


def test_route_pages_show_the_share_over_time(machine: TestClient) -> None:
    page = machine.get("/routes/prompts.list/live").text
    assert "10% from" in page
    assert "promoted by Grace: all quiet since Monday" in unescape(page)
    assert page.count('class="stage"') == 4
    assert machine.get("/routes/prompts.list/actions.json").json()["lower"] == ["0%", "1%"]
    capped = machine.get("/routes/notes.create/live").text
    assert re.search(r'<rect class="capped" [^>]*y="0" [^>]*height="24"', capped)  # visible also at 0%
    for path in ("", "/live", "/actions", "/history"):
        assert f'href="/routes/prompts.list{path}"' in page
        assert machine.get(f"/routes/prompts.list{path}").status_code == 200


@pytest.mark.parametrize("page", ["live", "actions"])
def test_pages_of_a_group_have_its_name(machine: TestClient, page: str) -> None:
    shown = machine.get(f"/routes/notes/{page}").text
    assert f'<h1>notes</h1>\n<p class="muted">one share for <a href="/routes/notes.list/{page}">' in shown
    assert machine.get(f"/routes/notes/{page}.json").json()["route"]["name"] == "notes.list"


def test_api_client_requires_an_actor(staged: Stage) -> None:
    with visiting(staged) as client:
        client.headers.update({**BEARER, "accept": "application/json"})
        path = "/routes/prompts.list/promote"
        nameless = client.post(path, data={"reason": "because"})
        assert (nameless.status_code, nameless.json()["detail"]) == (409, "an actor is required: give your name")
        just = client.post(path, data={"actor": "deploy job", "reason": "because"})
        assert (just.status_code, "name its next stage: 50%" in just.json()["detail"]) == (409, True)
        other = client.post(path, data={"actor": "deploy job", "reason": "because", "to": "fifty"})
        assert other.status_code == 400
        done = client.post(path, data={"actor": "deploy job", "reason": "because", "to": "50%"})
        assert done.json() == {"route": "prompts.list", "version": 3, "share": 50.0}


@pytest.mark.parametrize(
    ("path", "data", "status"),
    [
        ("prompts.list/promote", {"reason": ""}, 409),
        ("prompts.list/promote", {"reason": "x", "version": "one"}, 400),
        ("prompts.list/rollback", {"reason": "x", "share": "a lot"}, 400),
        ("prompts.list/burn", {"reason": "x"}, 404),
        ("nothing/promote", {"reason": "x"}, 404),
        ("notes.list/promote", {"reason": "x"}, 409),
    ],
)
def test_impossible_action_is_refused(machine: TestClient, path: str, data: dict[str, str], status: int) -> None:
    answer = machine.post(f"/routes/{path}", data={"actor": "a job", **data})
    assert answer.status_code == status
    assert machine.get("/history.json").json()["changes"][0]["kind"] == "cap"
    assert machine.get("/routes/nothing/live").status_code == 404


def test_actions_without_an_ops_token_are_refused(staged: Stage) -> None:
    with visiting(staged, token=None) as client:
        page = client.get("/routes/prompts.list/actions").text
        assert "The gateway runs without OPS_TOKEN" in text_of(page)
        assert "<form" not in page
        refused = client.post("/routes/prompts.list/promote", data={"actor": "anybody", "reason": "because"})
        assert (refused.status_code, "OPS_TOKEN is not set" in refused.text) == (403, True)
        assert routes(client)["prompts.list"]["effective"] == 10


def test_unauthenticated_action_is_refused(staged: Stage) -> None:
    with visiting(staged) as client:
        assert client.post("/routes/prompts.list/promote", data={"actor": "a", "reason": "b"}).status_code == 401


def test_unreachable_mongodb_allows_lowering_only(tmp_path: Path) -> None:
    database = Database(f"mongodb://127.0.0.1:{free_port()}", "test_ops_shares", timeout=0.05)
    staged = stage(tmp_path, free_port(), store=MongoStore(database))
    with TestClient(create_ops(staged, TOKEN), headers=BEARER) as client:
        assert client.get("/history.json").json()["unavailable"]["title"] == "MongoDB is unreachable"
        assert routes(client)["prompts.list"]["by"] == "unread"
        sent = {"actor": "Ada", "reason": "to be safe", "share": "0%"}
        assert client.post("/routes/notes.list/rollback", data=sent, headers={"accept": "application/json"}).json() == {
            "route": "notes.list",
            "version": 1,
            "share": 0.0,
        }
        assert client.post("/routes/notes.list/ack", data=sent).status_code == 503
        assert client.portal is not None
        client.portal.call(database.close)


def test_board_and_live_page_count_recent_failures_of_legacy(staged: Stage) -> None:
    record = RequestRecord("i", "http", "GET", None, None, "legacy", "-", None, 504, "legacy_timeout", 1.0, 1.0)
    with visiting(staged) as client:
        client.headers.update(BEARER)
        for _ in range(20):
            staged.failures(record)
        for path in ("/live.json", "/index.json"):
            assert client.get(path).json()["health"]["legacy_failures"] == {"legacy_timeout": 20}
