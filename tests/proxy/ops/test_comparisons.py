"""Pages of comparison results, read from a real MongoDB."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from starlette.testclient import TestClient

from demo.ports import free_port
from proxy.database.database import Database
from proxy.gateway.request_record import RequestRecord
from proxy.observability import metrics
from proxy.observability.request_metrics import RequestMetrics
from proxy.ops.app import create_ops
from proxy.ops.pages.overview import MAX_LISTED
from tests.support.ops_server import PATIENT, ROUTING, Stage, stage, store_a_day
from tests.support.page_text import text_of
from tests.support.unhurried import patient_database

DATABASE = "test_ops_comparisons"


@pytest.fixture(scope="module")
def filled_mongodb(mongodb_url: str) -> Iterator[str]:
    async def fill() -> None:
        database = patient_database(mongodb_url, DATABASE)
        await database.command({"dropDatabase": 1})
        await store_a_day(database)
        await database.close()

    asyncio.run(fill())
    yield mongodb_url
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        client.drop_database(DATABASE)


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory, filled_mongodb: str) -> Stage:
    staged = stage(tmp_path_factory.mktemp("ops"), free_port())
    staged.database = patient_database(filled_mongodb, DATABASE)
    return staged


@contextmanager
def visiting(staged: Stage) -> Iterator[TestClient]:
    """Return a client of the pages; close the database on the loop that used it."""
    with TestClient(create_ops(staged)) as client:
        assert client.portal is not None
        client.portal.call(staged.controller.start)
        yield client
        client.portal.call(staged.controller.stop)
        if staged.database is not None:
            client.portal.call(staged.database.close)


@pytest.fixture(scope="module")
def client(staged: Stage) -> Iterator[TestClient]:
    with visiting(staged) as client:
        yield client


def test_overview_shows_every_route_with_shares_and_results(client: TestClient) -> None:
    page = client.get("/comparisons").text
    text = text_of(page)
    assert "consultations.list GET /api/consultations 25%" in text
    assert "with group notes" in text
    assert "pinned to legacy" in text
    assert "client gone" in text
    assert "queue full" in text
    assert "matched by no route" in text
    data = client.get("/comparisons.json").json()
    routes = {line["name"]: line for line in data["routes"]}
    assert list(routes) == [
        *("users.login", "consultations.list", "notes.list", "notes.create", "prompts.list", "transcription", "-")
    ]
    notes = routes["notes.list"]["summary"]
    assert min(notes["match"], notes["declared"], notes["mismatch"], notes["violation"]) > 0
    assert f"{notes['mismatch']} {notes['violation']} violations" in text
    assert f"of {sum(notes[name] for name in ('match', 'declared', 'mismatch', 'violation')) - notes['both']:,}" in text
    assert data["total"]["mismatch"] == notes["mismatch"] + routes["notes.create"]["summary"]["mismatch"]
    assert routes["-"]["route"] is None
    assert page.count('class="spark"') == 4
    assert data["unavailable"] is None


def test_overview_of_many_routes_has_the_trends_that_it_lists(
    client: TestClient, filled_mongodb: str, tmp_path: Path
) -> None:
    more = "".join(f"  - {{{{name: part{n}, match: GET /parts/{n}}}}}\n" for n in range(MAX_LISTED))
    staged = stage(tmp_path, free_port(), ROUTING + more)
    staged.database = patient_database(filled_mongodb, DATABASE)

    def trends(client: TestClient) -> dict[str, Any]:
        lines = client.get("/comparisons.json").json()["routes"]
        return {line["name"]: line["summary"]["trend"] for line in lines if line["summary"]["trend"]}

    with visiting(staged) as crowded:
        assert trends(crowded) == trends(client)
    assert len(trends(client)) == 4


def test_verdict_narrows_the_overview(client: TestClient) -> None:
    declared = client.get("/comparisons.json?verdict=declared").json()["routes"]
    assert [line["name"] for line in declared] == ["notes.list"]
    assert "No route had the verdict violation in the last hour" in text_of(
        client.get("/comparisons?from=2020-01-01T00:00&until=2020-01-02T00:00&verdict=violation").text
    ).replace("1 Jan 2020, 00:00:00 UTC to 2 Jan 2020, 00:00:00 UTC", "the last hour")


def test_routes_without_results_are_short_on_a_phone(client: TestClient) -> None:
    page = client.get("/comparisons?from=2020-01-01T00:00&until=2020-01-02T00:00").text
    cells = re.findall(r'<td role="cell"([^>]*)>', page)
    assert {re.sub('.*data-label="(.*?)".*', r"\1", cell) for cell in cells if "quiet" not in cell} == {"Match rate"}


def test_accept_header_requests_json(client: TestClient) -> None:
    path, accept = "/routes/notes.list", {"accept": "application/json"}
    by_path = client.get(f"{path}.json?last=7d").json()
    by_header = client.get(f"{path}?last=7d", headers=accept).json()
    assert by_header["fields"] == by_path["fields"]
    assert f'href="{path}.json?last=7d"' in client.get(f"{path}?last=7d").text


def test_route_page_ranks_its_fields(client: TestClient) -> None:
    page = client.get("/routes/notes.list").text
    fields = client.get("/routes/notes.list.json").json()["fields"]
    unexplained = [one["count"] - one["declared"] for one in fields]
    assert unexplained == sorted(unexplained, reverse=True)
    assert {(one["field"].partition("~")[0], one["kind"]) for one in fields} == {
        ("body.notes.*.", "missing"),
        ("body.notes.*.", "extra"),
        ("body.notes.*.body", "type"),
        ("body.count", "type"),
    }
    positions = [page.index(one["field"]) for one in fields]
    assert positions == sorted(positions)
    text = text_of(page)
    assert "legacy alone differs here in" in text
    assert "just now" in text or "s ago" in text
    assert "4 h ago" in text


def test_samples_are_filtered_by_field_and_kind(client: TestClient) -> None:
    path = "/routes/notes.list.json"
    everything = client.get(path).json()["samples"]
    typed = client.get(path, params={"field": "body.notes.*.body", "kind": "type"}).json()["samples"]
    assert 0 < len(typed) < len(everything)
    assert {tuple(pair) for one in typed for pair in one["fields"]} >= {("body.notes.*.body", "type")}
    assert client.get(path, params={"verdict": "declared"}).json()["samples"][0]["verdict"] == "declared"
    assert client.get("/routes/notes.list", params={"field": "nowhere"}).text.count("/samples/") == 0


def test_sample_shows_both_answers_side_by_side(client: TestClient) -> None:
    heads = client.get("/routes/notes.list.json", params={"field": "body.notes.*.body"}).json()["samples"]
    path = f"/samples/{heads[0]['id']}"
    page = client.get(path).text
    rows = client.get(f"{path}.json").json()["rows"]
    differing = [row for row in rows if row["legacy"]["mark"]]
    assert [row["name"] for row in differing] == ["body"]
    assert differing[0]["legacy"]["value"]["type"] == "string"
    assert differing[0]["native"]["value"]["type"] == "integer"
    assert [row["name"] for row in rows[:3]] == ["body", "notes", "0"]  # what it stands in
    assert 'class="noise"' in page  # legacy alone differs there, too
    assert len(client.get(f"{path}.json?rows=all").json()["rows"]) > len(rows)
    assert "active" in text_of(page)  # x-report: show


def test_sample_of_a_violation_shows_all_of_both_answers(client: TestClient) -> None:
    heads = client.get("/routes/notes.list.json", params={"verdict": "violation"}).json()["samples"]
    view = client.get(f"/samples/{heads[0]['id']}.json").json()
    assert view["whole"]
    assert "count" in [row["name"] for row in view["rows"]]
    assert not any(row["legacy"]["mark"] for row in view["rows"])


def test_dry_run_sample_shows_the_writes_of_native(client: TestClient) -> None:
    head = client.get("/routes/notes.create.json").json()["samples"][0]
    text = text_of(client.get(f"/samples/{head['id']}").text)
    assert "What native would have written dry run: nothing was stored insert notes document object of 2 fields" in text


def test_pages_contain_no_patient_data(client: TestClient) -> None:
    heads = client.get("/routes/notes.list.json").json()["samples"]
    for path in ("/", "/routes/notes.list", "/drift", *(f"/samples/{one['id']}" for one in heads)):
        for form in (path, f"{path}?rows=all", "/comparisons.json" if path == "/" else f"{path}.json"):
            assert PATIENT not in client.get(form).text


def test_divergences_are_listed_as_observed_and_unobserved(client: TestClient, staged: Stage) -> None:
    data = client.get("/divergences.json").json()
    assert [one["id"] for one in data["observed"]] == ["count-in-words"]
    assert [one["id"] for one in data["unobserved"]] == ["login-wrong-password"]
    text = text_of(client.get("/divergences").text)
    assert "Observed 1 of 2" in text
    assert "Legacy counts in numbers Native counts in words Reason words are nicer Since 0.2.0" in text
    file = staged.watcher.path.parent / "contracts" / "divergences.yaml"
    written = file.read_text()
    file.write_text("- no: divergence\n")
    data = client.get("/divergences.json").json()
    assert ([one["id"] for one in data["stale"]], data["unobserved"]) == (["count-in-words"], [])
    assert "Observed, but no longer declared" in client.get("/divergences").text
    file.write_text(written)
    assert client.get("/divergences.json").json()["stale"] == []


def test_drift_names_the_side_that_breaks_the_contract(client: TestClient) -> None:
    data = client.get("/drift.json").json()
    assert {(one["path"], one["rule"]) for one in data["legacy"]} == {("body.count", "type")}
    assert ("body.notes.*.body", "type") in {(one["path"], one["rule"]) for one in data["native"]}
    assert "is not of type integer" in text_of(client.get("/drift").text)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/routes/nothing", 404),
        ("/routes/note", 404),
        ("/routes/nothing.json", 404),
        ("/samples/nothing", 404),
        ("/comparisons?last=2h", 400),
        ("/drift.json?verdict=good", 400),
        ("/routes/notes.list?kind=odd", 400),
    ],
)
def test_unavailable_page_names_the_reason(client: TestClient, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.json()["detail"] if ".json" in path else "To the migration board" in answer.text


@pytest.mark.parametrize("suffix", ["", ".json"])
def test_report_of_a_group_leads_to_its_live_page(client: TestClient, suffix: str) -> None:
    answer = client.get(f"/routes/notes{suffix}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/routes/notes/live{suffix}")
    assert client.get(answer.headers["location"]).status_code == 200


def test_unknown_route_has_a_suggestion(client: TestClient) -> None:
    detail = client.get("/routes/notes.lst.json").json()["detail"]
    assert detail == "No report names it, and routing.yaml has no route or group notes.lst; did you mean notes.list?"


def test_pages_show_process_counts_without_mongodb(tmp_path: Path) -> None:
    served = RequestRecord("i", "http", "GET", "prompts.list", None, "native", "share", None, 200, None, 0.1, 0.1)
    RequestMetrics()(served)
    metrics.COMPARISONS.labels("prompts.list", "native", "match").inc(3)
    metrics.COMPARISONS.labels("prompts.list", "native", "mismatch").inc()
    metrics.SKIPPED.labels("prompts.list", "timeout").inc()
    staged = stage(tmp_path, free_port())
    staged.database = Database(f"mongodb://127.0.0.1:{free_port()}", DATABASE, timeout=0.05)
    with visiting(staged) as client:
        data = client.get("/comparisons.json").json()
        assert data["unavailable"]["title"] == "MongoDB is unreachable"
        prompts = next(line for line in data["routes"] if line["name"] == "prompts.list")
        summary = prompts["summary"]
        assert (
            min(summary["requests"]["native"], summary["match"] - 2, summary["mismatch"], summary["skipped"]["timeout"])
            >= 1
        )
        for path in ("/routes/prompts.list", "/divergences"):
            page = client.get(path)
            assert page.status_code == 200
            assert "MongoDB is unreachable" in page.text


def test_pages_without_mongodb_say_nothing_is_stored(tmp_path: Path) -> None:
    with TestClient(create_ops(stage(tmp_path, free_port()))) as client:
        assert "Comparisons are not stored" in client.get("/comparisons").text
        sample = client.get("/samples/any.json")
        assert (sample.status_code, sample.json()["error"]) == (503, "Comparisons are not stored")
