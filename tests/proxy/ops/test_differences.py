"""The pages of differences: triage, revisions, pinned samples, and links to removed samples; with a real MongoDB."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo import MongoClient
from starlette.testclient import TestClient

from demo.ports import free_port
from proxy.config.service_models import ReportSettings
from proxy.ops.app import create_ops
from proxy.ops.board.alerts import BackendsHealth, alerts
from proxy.reports import triage
from proxy.reports.revisions import Revisions
from proxy.reports.writer import ReportWriter
from tests.support.ops_server import DRIFTING, DRY_RUN, KEY, MATCHING, RENAMED, ROUTING, TYPED, stage
from tests.support.page_text import text_of
from tests.support.unhurried import patient_database

DATABASE = "test_ops_differences"
TOKEN, VIEWER = "an-ops-token-of-some-length", "a-viewer-token-of-some-length"
BEARER = {"authorization": f"Bearer {VIEWER}"}


async def record_two_releases(url: str) -> None:
    """Record three revisions of native, and a write that is not redacted.

    Fields differ in `one`, a type differs as well in `two`, and nothing differs in `three`.
    """
    database = patient_database(url, DATABASE)
    await database.command({"dropDatabase": 1})
    for revision, entries in (
        ("one", [RENAMED, MATCHING]),
        ("two", [RENAMED, TYPED, DRIFTING]),
        ("three", [MATCHING, MATCHING]),
    ):
        settings = ReportSettings(key=SecretStr(KEY), samples=1)
        writer = ReportWriter(database, settings, revisions=Revisions(revision))
        for entry in entries:
            writer.record(entry)
        await writer.flush()
    writer = ReportWriter(database, ReportSettings(key=SecretStr(KEY), redact="off", staging=True))
    writer.record(DRY_RUN)
    await writer.flush()
    await database.close()


@pytest.fixture(scope="module")
def client(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    asyncio.run(record_two_releases(mongodb_url))
    staged = stage(tmp_path_factory.mktemp("ops"), free_port())
    staged.database = patient_database(mongodb_url, DATABASE)
    with TestClient(create_ops(staged, TOKEN, VIEWER), follow_redirects=False, headers=BEARER) as client:
        assert client.portal is not None
        client.portal.call(staged.controller.start)
        yield client
        client.portal.call(staged.controller.stop)
        client.portal.call(staged.database.close)
    with MongoClient[dict[str, Any]](mongodb_url) as mongo:
        mongo.drop_database(DATABASE)


def difference(client: TestClient, field: str, kind: str) -> str:
    """Return the path of a difference's page by the link on the route's page."""
    page = client.get("/routes/notes.list").text
    rows = [row for row in page.split("<tr") if f"<code>{field}</code></a>" in row and f">{kind}</span>" in row]
    return rows[0].partition('href="')[2].partition('"')[0]


def test_difference_page_shows_revisions_and_disappearance(client: TestClient) -> None:
    path = difference(client, "body.notes.*.body", "type")
    view = client.get(f"{path}.json").json()
    assert [(one["revision"], one["count"], one["compared"]) for one in view["revisions"]] == [
        ("one", 0, 2),
        ("two", 1, 3),
        ("three", 0, 2),
    ]
    assert view["gone_since"] == {"revision": "three", "compared": 2}
    text = text_of(client.get(path).text)
    assert "Gone since three 2 comparisons since then do not have it" in text
    assert "new" in text


def test_viewer_marks_a_difference_and_a_stale_form_is_refused(client: TestClient) -> None:
    path = difference(client, "body.notes.*.body", "type")
    known = {"state": "known", "reason": "ids as numbers", "ticket": "QA-7", "actor": "Grace", "version": "0"}
    assert client.post(path, data=known).status_code == 303
    text = text_of(client.get(path).text)
    assert "known by Grace" in text
    assert "QA-7" in text
    assert client.post(path, data=known).status_code == 409
    fixed = client.post(path, data={"state": "fixed", "actor": "Ada", "revision": "three", "version": "1"})
    assert fixed.headers["location"] == path
    stored = client.get(f"{path}.json").json()["difference"]
    assert (stored["mark"]["state"], stored["mark"]["revision"]) == ("fixed", "three")
    assert [mark["state"] for mark in stored["history"]] == ["new", "known"]


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"state": "known", "actor": "Ada"}, 400),
        ({"state": "gone", "actor": "Ada"}, 400),
        ({"state": "fixed"}, 400),
        ({"state": "fixed", "actor": "Ada", "version": "x"}, 400),
    ],
)
def test_invalid_mark_is_refused_by_the_page(client: TestClient, form: dict[str, str], status: int) -> None:
    states = client.get("/routes/notes.list.json").json()["states"]
    assert client.post(f"/differences/{next(iter(states))}", data=form).status_code == status


def test_triage_without_a_token_is_refused(tmp_path: Path) -> None:
    with TestClient(create_ops(stage(tmp_path, free_port()))) as open_to_all:
        for path in ("/differences/" + "0" * 16, "/samples/any/pin"):
            refused = open_to_all.post(path, data={"state": "known", "reason": "r", "actor": "Ada"})
            assert (refused.status_code, "OPS_TOKEN is not set" in refused.text) == (403, True)


def test_route_lists_states_and_overview_counts_them(client: TestClient) -> None:
    counts = client.get("/comparisons.json").json()["states"]["notes.list"]
    assert counts.get("new", 0) >= 2
    assert f"{counts['new']} new" in text_of(client.get("/comparisons?sort=attention").text)
    lines = client.get("/comparisons.json?sort=attention").json()["routes"]
    assert lines[0]["name"] == "notes.list"


def test_filters_select_routes_and_leave_the_totals(client: TestClient) -> None:
    everything = client.get("/comparisons.json").json()
    for query in ("verdict=violation", "verdict=declared", "q=PROMPTS", "sort=name", "q=nothing"):
        chosen = client.get(f"/comparisons.json?{query}").json()
        assert chosen["total"] == everything["total"]
    assert [line["name"] for line in client.get("/comparisons.json?q=PROMPTS").json()["routes"]] == ["prompts.list"]
    assert "No route matches" in client.get("/comparisons?q=nothing").text


def test_numbers_of_a_route_are_of_the_revision_in_the_url(client: TestClient) -> None:
    two = client.get("/routes/notes.list.json?revision=two").json()
    assert (two["summary"]["mismatch"], two["summary"]["match"]) == (2, 0)
    assert {(one["kind"]) for one in two["fields"]} >= {"type"}
    assert client.get("/routes/notes.list.json?revision=three").json()["fields"] == []
    assert client.get("/routes/notes.list.json?q=nothing").json()["summary"]["match"] == 3


def test_releases_page_lists_new_and_gone_differences(client: TestClient) -> None:
    path = "/routes/notes.list/releases.json"
    both = client.get(f"{path}?before=one&after=two").json()["comparison"]
    changes = {(one["field"].partition("~")[0], one["kind"]): one["change"] for one in both["fields"]}
    assert changes["body.notes.*.body", "type"] == "new"
    assert "new" not in {change for (_, kind), change in changes.items() if kind == "missing"}
    newest = client.get(path).json()["comparison"]
    assert (newest["before"]["revision"], newest["after"]["revision"]) == ("two", "three")
    assert {one["change"] for one in newest["fields"]} == {"gone"}
    assert "Before and after" in text_of(client.get("/routes/notes.list/releases").text)
    assert client.get("/routes/other/releases.json").json()["comparison"] is None


def test_pinned_sample_stays_and_a_removed_one_redirects(client: TestClient) -> None:
    path = difference(client, "body.notes.*.body", "type")
    sample = client.get(f"{path}.json").json()["samples"][0]["id"]
    assert client.post(f"/samples/{sample}/pin", data={"pinned": "yes", "actor": "Ada"}).status_code == 303
    assert client.get(f"/samples/{sample}.json").json()["sample"]["pinned"]
    assert "Unpin" in client.get(f"/samples/{sample}").text
    assert client.post("/samples/nothing/pin", data={"pinned": "yes"}).status_code == 404
    removed = f"00000000-{sample.partition('-')[2]}"
    instead = client.get(f"/samples/{removed}")
    assert instead.status_code == 303
    assert f"Sample {removed} was removed" in text_of(client.get(instead.headers["location"]).text)
    assert client.get(f"/samples/00000000-{'0' * 16}").status_code == 404


def test_unobserved_difference_is_404(client: TestClient) -> None:
    assert client.get("/differences/" + "0" * 16).status_code == 404


def test_pages_of_unredacted_reports_have_a_banner(tmp_path: Path, client: TestClient) -> None:
    text = ROUTING + "reports: {{redact: off, staging: true}}\n"
    with TestClient(create_ops(stage(tmp_path, free_port(), text))) as unredacted:
        assert "Reports are not redacted here" in text_of(unredacted.get("/comparisons").text)
    assert "not redacted" not in text_of(client.get("/comparisons").text)


def test_caption_names_the_redaction_of_values(client: TestClient) -> None:
    for route, described in (("notes.list", True), ("notes.create", False)):
        [sample, *_] = client.get(f"/routes/{route}.json").json()["samples"]
        text = text_of(client.get(f"/samples/{sample['id']}").text)
        assert ("values are described by type, length and digest" in text) is described
        assert ("This sample is not redacted" in text) is not described


def test_board_alerts_returned_differences_and_counts_new_ones() -> None:
    new = [triage.begin(triage.Observation(route, "body.a", "value", 10.0)) for route in ("one", "two")]
    fixed = triage.mark(new[0], "fixed", triage.Mark("new", 20.0, "Ada", revision="r2"))
    returned = triage.observe(fixed, triage.Observation("one", "body.a", "value", 30.0, "r2"))
    alarm, hint = alerts((), (), "", BackendsHealth(), 40.0, (returned, new[1]))
    assert (alarm.severity, alarm.link) == ("bad", f"/differences/{returned.id}")
    assert "Ada marked body.a (value) as fixed in r2; observed 10 s ago" in alarm.detail
    assert (hint.severity, hint.title, hint.detail) == ("warn", "1 new difference", "on two, in the last 24 hours")
    assert alerts((), (), "", BackendsHealth(), 40.0, (fixed,)) == ()


def test_route_lists_each_new_difference_that_is_counted(client: TestClient) -> None:
    counts = client.get("/comparisons.json").json()["states"]["notes.list"]
    states = client.get("/routes/notes.list.json").json()["states"]
    page = client.get("/routes/notes.list").text
    linked = {row.partition('href="/differences/')[2][:16] for row in page.split("<tr")[1:]} - {""}
    assert linked == set(states)
    assert len(linked) == sum(counts.values())
    assert "Violations of the contract" in text_of(page)


def test_violations_of_a_route_are_those_of_the_chosen_revision(client: TestClient) -> None:
    one, two = (client.get(f"/routes/notes.list.json?revision={name}").json()["violations"] for name in ("one", "two"))
    assert one == []
    assert {violation["backend"] for violation in two} == {"legacy", "native"}
