"""`scribe-proxy report` over reports in a real MongoDB: tables, samples, suggestions, exports, a gate for CI."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner, Result
from pydantic import SecretStr, TypeAdapter
from rich.console import Console

from proxy.cli.main import main
from proxy.cli.report_tables import sample_account
from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare
from proxy.config.service_models import ReportSettings as Settings
from proxy.contract.bundle import ContractBundle, load_divergences
from proxy.contract.checking import ObservedOperation, coverage, with_live_counts
from proxy.contract.divergences import Divergence
from proxy.contract.model import Contract, Operation
from proxy.contract.reading import load
from proxy.gateway.request_record import RequestRecord
from proxy.recordings.model import Recordings
from proxy.reports.events import ComparisonEvent, ReplayEvent, SkippedEvent
from proxy.reports.models import (
    DivergenceSummary,
    ReportHealth,
    RouteSummary,
    Sample,
    StoredAnswer,
    StoredBody,
    StoredRequest,
    StoredWrite,
)
from proxy.reports.query import QueryResult, warnings
from proxy.reports.registry import DifferenceRegistry
from proxy.reports.triage import Observation, difference_id
from proxy.reports.writer import ReportWriter
from proxy.runtime.database import Database
from proxy.types import JSON
from tests.support.exchanges import answered, exchange

DATABASE = "test_report_command"
NOTES = "notes.list"
CONTRACT = """
openapi: 3.1.1
info: {title: Notes, version: '1'}
paths:
  /api/notes:
    get:
      operationId: notes.list
      responses:
        '200':
          description: OK
          content:
            application/json:
              schema:
                type: object
                properties:
                  notes:
                    type: array
                    items:
                      type: object
                      properties:
                        _id: {type: string}
                        title: {type: string}
                        status: {enum: [active, ended], x-report: show}
                        tags: {type: array, items: {type: string}}
                        seen: {anyOf: [{type: integer}, {type: 'null'}]}
        '404':
          description: Not found
"""
DIVERGENCES = """
- id: no-status
  operation: GET /api/notes
  legacy: tells the status
  native: keeps it
  reason: nobody reads it
  since: 0.1.0
  when: {paths: [body.notes.*.status]}
- id: never-seen
  operation: GET /api/notes
  legacy: a
  native: b
  reason: c
  since: 0.1.0
  when: {legacy: {status: 500}}
"""


def listed(**note: JSON) -> Exchange:
    note = {"_id": "1", "title": "Agnes", "status": "active", "tags": ["a", "b"], "seen": 1, **note}
    return answered({"notes": [{name: value for name, value in note.items() if value is not None}]})


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("contracts")
    (directory / "openapi.yaml").write_text(CONTRACT)
    (directory / "divergences.yaml").write_text(DIVERGENCES)
    return directory


@pytest.fixture(scope="module")
def reported(mongodb_url: str, contracts: Path) -> Iterator[str]:
    """A day's reports: on one route everything is equal, on another almost nothing."""
    contract = load(contracts / "openapi.yaml")
    declared = load_divergences(contracts / "divergences.yaml", contract)
    asyncio.run(_report(mongodb_url, contract, declared))
    yield mongodb_url
    asyncio.run(_drop(mongodb_url))


async def _report(url: str, contract: Contract, declared: tuple[Divergence, ...]) -> None:
    database = Database(url, DATABASE)
    reports = ReportWriter(database, Settings(key=SecretStr("sixteen-characters-or-more")))
    operation = contract.named("notes.list")
    for native in (listed(), listed(title="Bert"), listed(title="Bert"), listed(tags=["b", "a"]), listed(status=None)):
        reports.record(_comparison(NOTES, operation, listed(), native, declared))
    reports.record(_comparison(NOTES, operation, listed(), answered({}, status=404), declared))
    reports.record(_comparison(NOTES, operation, listed(), listed(title=1), declared))
    reports.record(_comparison(NOTES, operation, listed(), answered({"notes": [], "Agnes": 1}), declared))
    reports.record(_comparison(NOTES, operation, listed(seen=1), listed(seen=2), declared))
    reports.record(_comparison(NOTES, operation, listed(seen="x"), listed(seen="x"), declared))
    for again in (listed(seen=5), listed(tags=["b", "a"]), listed()):
        reports.record(ReplayEvent(NOTES, operation, compare(listed(), again, operation), listed(), again))
    for _ in range(1000):
        reports.record(_comparison("quiet", None, listed(), listed(), ()))
    reports.record(_comparison("quiet", None, listed(), exchange(outcome="hang"), ()))
    reports.record(SkippedEvent("blind", "legacy", "hidden"))
    reports.record(SkippedEvent("blind", "legacy", "timeout"))
    reports.observe(RequestRecord("1", "http", "GET", NOTES, "/", "native", "share", 1, 200, None, 0.1, 0.1))
    await reports.flush()
    await database.close()


def _comparison(
    route: str, operation: Operation | None, legacy: Exchange, native: Exchange, declared: tuple[Divergence, ...]
) -> ComparisonEvent:
    return ComparisonEvent(route, operation, "legacy", compare(legacy, native, operation, declared), legacy, native)


async def _drop(url: str) -> None:
    database = Database(url, DATABASE)
    await database.drop()
    await database.close()


def report(url: str, contracts: Path, *arguments: object) -> Result:
    around = ["--mongodb-url", url, "--database", DATABASE, "--contracts", contracts, "--config", contracts / "none"]
    return CliRunner().invoke(main, [str(one) for one in ["report", *around, *arguments]])


def told(url: str, contracts: Path, *arguments: object) -> Any:
    result = report(url, contracts, "--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def row(output: str, name: str) -> list[str]:
    return next(line.split() for line in output.splitlines() if line.split()[:1] == [name])


def test_an_overview_tells_each_route_and_where_it_differs(reported: str, contracts: Path) -> None:
    result = report(reported, contracts)
    assert result.exit_code == 0
    assert row(result.stdout, NOTES)[1:8] == ["10", "1", "1", "7", "3", "2", "80.00%"]
    assert row(result.stdout, "quiet")[1:3] == ["1,001", "1,000"]
    assert "1 hidden, 1 timeout" in result.stdout
    assert "1 of 3" in " ".join(row(result.stdout, NOTES))
    assert "body.notes.*.title" in result.stdout
    assert "8 mismatches and 3 violations (2 both) in 1,011 comparisons on 3 routes" in result.stdout
    assert "! blind: in 1 of its requests x-compare hid the whole answer" in result.stderr


def test_a_route_is_told_by_field_kind_breach_and_sample(reported: str, contracts: Path) -> None:
    result = report(reported, contracts, "--route", NOTES)
    title = row(result.stdout, "body.notes.*.title")
    assert title[1:4] == ["value", "major", "2"]
    assert "1 of 3 replays" in result.stdout
    assert "is not of type" in result.stdout or "breaks `anyOf`" in result.stdout
    assert "mismatch" in result.stdout
    assert "quiet" not in result.stdout


def test_one_field_and_kind(reported: str, contracts: Path) -> None:
    found = told(reported, contracts, "--route", NOTES, "--field", "body.notes.*.title", "--kind", "type")
    assert [(one["field"], one["kind"], one["unexplained"]) for one in found["fields"]] == [
        ("body.notes.*.title", "type", 1)
    ]
    assert {tuple(place) for one in found["samples"] for place in one["fields"]} >= {("body.notes.*.title", "type")}


def test_one_verdict(reported: str, contracts: Path) -> None:
    found = told(reported, contracts, "--verdict", "declared")
    assert [one["route"] for one in found["routes"]] == [NOTES]
    assert [one["field"] for one in found["fields"]] == ["body.notes.*.status"]
    assert [one["route"] for one in told(reported, contracts, "--verdict", "skipped")["routes"]] == ["blind"]
    table = report(reported, contracts, "--verdict", "declared").stdout
    assert "body.notes.*.status" in table
    assert "body.notes.*.status" not in report(reported, contracts).stdout


def test_the_newest_sample_side_by_side(reported: str, contracts: Path) -> None:
    where = ("--route", NOTES, "--field", "body.notes.*.title", "--kind", "value")
    output = report(reported, contracts, *where, "--sample").stdout
    assert "legacy: 200" in output
    assert "body.notes.0.title" in output
    assert "string of 5" in output
    assert '"active"' in output
    assert "Agnes" not in output
    sample = told(reported, contracts, *where, "--sample")
    assert sample["legacy"]["body"]["content"]["fields"][0][0] == "notes"
    again = told(reported, contracts, "--sample", sample["id"])
    assert again == sample


def test_sample_shows_noise_declared_divergences_and_violations(reported: str, contracts: Path) -> None:
    noise = report(reported, contracts, "--route", NOTES, "--field", "body.notes.*.tags", "--sample").stdout
    assert "noise" in noise
    declared = report(reported, contracts, "--verdict", "declared", "--sample").stdout
    assert "declared: no-status" in declared
    breach = report(reported, contracts, "--kind", "violation", "--sample").stdout
    assert "legacy breaks the contract: body.notes.*.seen" in breach


def test_without_a_sample_it_says_so(reported: str, contracts: Path) -> None:
    assert "there is no sample of that" in report(reported, contracts, "--route", "blind", "--sample").stdout
    assert told(reported, contracts, "--route", "blind", "--sample") is None


def test_what_legacy_does_not_repeat_suggests_a_rule_at_its_line(reported: str, contracts: Path) -> None:
    found = {(one["field"], one["kind"]): one for one in told(reported, contracts, "--suggest")}
    seen, tags = found["body.notes.*.seen", "value"], found["body.notes.*.tags", "order"]
    lines = CONTRACT.splitlines()
    assert seen["rule"] == "x-compare: ignore"
    file, _, line = seen["where"].rpartition(":")
    assert Path(file).name == "openapi.yaml"
    assert "seen:" in lines[int(line) - 1]
    assert seen["evidence"] == "differs in 1 comparison; legacy differed from itself in 1 of 3 replays"
    assert tags["rule"] == "x-compare: unordered"


def test_repeated_legacy_answer_suggests_a_valid_divergence(reported: str, contracts: Path) -> None:
    found = {(one["field"], one["kind"]): one for one in told(reported, contracts, "--suggest")}
    title = found["body.notes.*.title", "value"]
    assert title["evidence"] == "differs in 2 comparisons; legacy repeated itself in all of 3 replays"
    [entry] = yaml.safe_load(title["rule"])
    divergence = Divergence.model_validate(entry)
    operation = load(contracts / "openapi.yaml").named("notes.list")
    verdict = compare(listed(), listed(title="Bert"), operation, [divergence])
    assert (verdict.name, verdict.declared) == ("declared", (divergence.id,))
    status = yaml.safe_load(found["status", "status"]["rule"])[0]
    assert status["when"] == {"legacy": {"status": 200}, "native": {"status": 404}, "paths": ["status"]}
    assert not any("Agnes" in json.dumps(one) for one in found.values())


def test_suggestions_end_by_saying_that_nothing_was_changed(reported: str, contracts: Path) -> None:
    before = (contracts / "openapi.yaml").read_text()
    result = report(reported, contracts, "--suggest", "--route", NOTES)
    assert "x-compare: ignore" in result.stdout
    assert "nothing was changed" in result.stdout
    assert (contracts / "openapi.yaml").read_text() == before


def test_csv_of_routes_and_of_one_routes_fields(reported: str, contracts: Path) -> None:
    routes = list(csv.DictReader(io.StringIO(report(reported, contracts, "--csv").stdout)))
    assert [(one["route"], one["compared"]) for one in routes] == [("blind", "0"), (NOTES, "10"), ("quiet", "1001")]
    assert (routes[0]["skipped"], routes[1]["native"]) == ("2", "1")
    fields = list(csv.DictReader(io.StringIO(report(reported, contracts, "--csv", "--route", NOTES).stdout)))
    assert fields[0]["field"].startswith("body.notes")
    assert fields[0]["first"].endswith("+00:00")


def test_a_gate_fails_with_1_and_names_the_route(reported: str, contracts: Path) -> None:
    result = report(reported, contracts, "--max-mismatch", "0.1%")
    assert result.exit_code == 1
    assert (
        f"{NOTES}: 80.00% of 10 comparisons fail: 7 mismatches and 3 violations (2 both); at most 0.1% may"
        in result.stderr
    )
    assert "quiet" not in result.stderr
    assert report(reported, contracts, "--max-mismatch", "0.1%", "--route", "quiet").exit_code == 0
    assert report(reported, contracts, "--max-mismatch", "80%").exit_code == 0


def test_a_gate_with_nothing_compared_is_2(reported: str, contracts: Path) -> None:
    result = report(reported, contracts, "--max-mismatch", "1%", "--route", "blind")
    assert result.exit_code == 2
    assert "nothing was compared" in result.stderr


def test_junit_has_a_case_a_route(reported: str, contracts: Path, tmp_path: Path) -> None:
    result = report(reported, contracts, "--junit", tmp_path / "report.xml")
    assert result.exit_code == 1
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()
    assert suite.attrib == {"name": "scribe-proxy report", "tests": "3", "failures": "1", "skipped": "1"}
    blind, notes, quiet = suite
    assert blind.find("skipped") is not None
    failure = notes.find("failure")
    assert failure is not None
    assert (
        failure.attrib["message"]
        == "80.00% of 10 comparisons fail: 7 mismatches and 3 violations (2 both); at most 0.1% may"
    )
    assert "body.notes.*.title (value, major): 2" in (failure.text or "")
    assert quiet.find("failure") is None


def test_junit_names_and_links_differences(reported: str, contracts: Path, tmp_path: Path) -> None:
    config = tmp_path / "routing.yaml"
    config.write_text(
        "legacy: {url: 'http://127.0.0.1:1'}\nnative: a.b:c\nops: {url: 'https://ops.example'}\n"
        f"routes: [{{name: {NOTES}, match: GET /n, shadow: 100%}}, {{name: absent, match: GET /a, shadow: 1%}}]\n"
    )
    options = ("--config", config, "--min-compared", 11, "--junit", tmp_path / "report.xml")
    result = report(reported, contracts, *options)
    assert result.exit_code == 1
    assert "absent: 0 compared, at least 11 must be" in result.stderr
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()
    cases = {case.attrib["name"]: case for case in suite}
    assert {name for name, case in cases.items() if case.find("failure") is not None} == {NOTES, "absent", "blind"}
    failure = cases[NOTES].find("failure")
    assert failure is not None
    identity = difference_id(NOTES, "body.notes.*.title", "value")
    line = f"{identity} new body.notes.*.title (value, major): 2 https://ops.example/differences/{identity}"
    assert line in (failure.text or "").splitlines()


def test_filters_leave_the_sums_and_the_gate(reported: str, contracts: Path) -> None:
    for filters in (["--verdict", "declared"], ["--verdict", "skipped"], ["--kind", "type"]):
        result = report(reported, contracts, *filters, "--max-mismatch", "0.1%")
        assert (result.exit_code, f"{NOTES}: 80.00% of 10 comparisons fail" in result.stderr) == (1, True)
        assert "8 mismatches and 3 violations (2 both) in 1,011 comparisons on 3 routes" in result.stdout


def test_triage_sets_states_and_a_returned_one_fails_the_gate(reported: str, contracts: Path) -> None:
    def triage(*arguments: object) -> Any:
        command = ["report", "triage", "--mongodb-url", reported, "--database", DATABASE, "--json"]
        return CliRunner().invoke(main, [*command, *map(str, arguments)])

    listed_ones = json.loads(triage("--route", NOTES).stdout)
    assert {one["state"] for one in listed_ones} == {"new"}
    identity = difference_id(NOTES, "body.notes.*.title", "value")
    assert "a known difference needs a reason" in triage(identity, "known", "--who", "Ada").output
    [known] = json.loads(triage(identity, "known", "--who", "Ada", "--why", "as agreed", "--ticket", "QA-7").stdout)
    assert (known["state"], known["mark"]["actor"], known["mark"]["ticket"]) == ("known", "Ada", "QA-7")
    assert json.loads(triage("--route", NOTES).stdout)[-1]["id"] == identity
    json.loads(triage(identity, "fixed", "--who", "Ada", "--in", "r2").stdout)
    asyncio.run(_observe(reported, Observation(NOTES, "body.notes.*.title", "value", time.time() + 1, "r2")))
    assert json.loads(triage(identity).stdout)[0]["state"] == "returned"
    failed = report(reported, contracts, "--max-mismatch", "100%")
    assert (failed.exit_code, "body.notes.*.title (value) was fixed and has returned" in failed.stderr) == (1, True)
    assert "differences: 1 returned" in failed.stdout
    assert triage("0" * 16).exit_code == 2
    json.loads(triage(identity, "new", "--who", "Ada").stdout)
    assert report(reported, contracts, "--max-mismatch", "100%").exit_code == 0


async def _observe(url: str, observation: Observation) -> None:
    database = Database(url, DATABASE)
    await DifferenceRegistry(database).register([observation])
    await database.close()


def test_nothing_noted_in_a_time_says_when_there_was_something(reported: str, contracts: Path) -> None:
    result = report(reported, contracts, "--since", "2020-01-01", "--until", "2020-01-02T00:00Z")
    assert result.exit_code == 0
    assert "no reports" in result.stdout
    assert "the oldest report is of 20" in result.stdout
    empty = CliRunner().invoke(main, ["report", "--mongodb-url", reported, "--database", "test_report_nothing"])
    assert "there are no reports at all" in empty.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--route", "notes.lst"], "no route notes.lst has a report in this time; did you mean notes.list?"),
        (["--route", "zzz"], "no route zzz has a report in this time"),
        (["--route", NOTES, "--field", "body.notes.*.titel"], "did you mean body.notes.*.title?"),
        (["--sample", "nothing"], "there is no sample nothing, and no newer one of its difference"),
        (["--since", "soon"], "a duration as in 24h, or a time"),
        (["--since", "1h", "--until", "2h"], "--until must be after --since"),
        (["--max-mismatch", "1"], "did you mean 1%?"),
        (["--json", "--csv"], "not both"),
    ],
)
def test_a_wrong_question_is_explained(reported: str, contracts: Path, arguments: list[str], said: str) -> None:
    result = report(reported, contracts, *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_mongodb_away_is_2_and_says_so(contracts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.runtime.database.TIMEOUT", 0.1)
    result = report("mongodb://127.0.0.1:1", contracts)
    assert (result.exit_code, result.stderr) == (2, "Error: MongoDB cannot be reached\n")
    assert report("nonsense", contracts).exit_code == 2


def test_routing_yaml_says_where_reports_and_contracts_are(
    reported: str, contracts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPORTS", reported)
    routing = tmp_path / "routing.yaml"
    routing.write_text(
        f"legacy: {{url: http://a}}\nmongodb: {{url: '${{REPORTS}}', database: {DATABASE}}}\ncontracts: {contracts}\n"
        "routes: [{name: unused, match: GET /}]\n"
    )
    result = CliRunner().invoke(main, ["report", "--json"])
    assert result.exit_code == 0, result.output
    assert [one["id"] for one in json.loads(result.stdout)["divergences"]] == ["no-status", "never-seen"]
    unused = CliRunner().invoke(main, ["report", "--route", "unused"])
    assert "no report of unused in this time" in " ".join(unused.stderr.split())
    routing.write_text("nonsense")
    monkeypatch.setenv("MONGODB_URL", "")
    broken = CliRunner().invoke(main, ["report"])
    assert "is ignored: it has problems" in broken.stderr
    assert "no MongoDB is named" in broken.stderr


def test_contract_problems_and_catch_all_divergences_show(reported: str, contracts: Path, tmp_path: Path) -> None:
    (tmp_path / "openapi.yaml").write_text(CONTRACT)
    (tmp_path / "divergences.yaml").write_text(DIVERGENCES.replace("paths: [body.notes.*.status]", "paths: ['*']"))
    result = report(reported, tmp_path)
    assert "divergence no-status explains any difference of its operation" in result.stderr
    (tmp_path / "divergences.yaml").write_text("[]")
    (tmp_path / "openapi.yaml").write_text("nonsense: 1")
    assert "is ignored" in report(reported, tmp_path).stderr


def test_coverage_includes_live_traffic_beside_samples(reported: str, contracts: Path, tmp_path: Path) -> None:
    step = {"name": "1", "request": {"method": "GET", "path": "/api/notes"}, "outcome": "response"}
    response = {"status": 200, "headers": {"content-type": "application/json"}, "text": "{}"}
    (tmp_path / "http.json").write_text(json.dumps([{"scenario": "one", "steps": [{**step, "response": response}]}]))
    where = ["--contract", contracts / "openapi.yaml", "--recordings", tmp_path, "--config", contracts / "none"]
    given = ["contracts", "coverage", *where, "--live", "--mongodb-url", reported, "--database", DATABASE]
    table = CliRunner().invoke(main, [str(one) for one in given])
    assert table.exit_code == 0, table.output
    assert row(table.stdout, "GET")[2:] == ["1+10", "0"]
    assert "1 sample and 10 live answers of 1 operation; 1 declared without a sample" in table.stdout
    rows = json.loads(CliRunner().invoke(main, [str(one) for one in [*given, "--json"]]).stdout)
    assert [(one["status"], one["live"], one["declared"]) for one in rows] == [("200", 10, True), ("404", 0, True)]


def test_coverage_tells_of_what_only_live_traffic_has_shown(contracts: Path) -> None:
    contract = load(contracts / "openapi.yaml")
    seen = [
        ObservedOperation("notes.list", "500", "text/html", 2),
        ObservedOperation("notes.list", "500", None, 1),
        ObservedOperation("notes.list", "hang", None, 1),
        ObservedOperation("gone", "200", None, 1),
    ]
    rows = with_live_counts(coverage(contract, Recordings()), contract, seen)
    told = [(one.status, one.live, one.declared, one.media) for one in rows if one.live]
    assert told == [("500", 3, False, ("text/html",)), ("hang", 1, True, ())]


def test_times_may_be_moments(reported: str, contracts: Path) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1000))
    assert told(reported, contracts, "--since", now)["routes"]


def test_what_was_hidden_and_what_a_dry_run_wrote_is_told() -> None:
    cut: JSON = {"type": "object", "length": 90, "cut": True}
    empty: JSON = {"type": "array", "length": 0, "items": []}
    fields: JSON = [["tags", empty], ["more", cut], ["done", {"type": "boolean"}]]
    tree: dict[str, JSON] = {"type": "object", "length": 3, "fields": fields}
    told: dict[str, JSON] = {"type": "string", "length": 6}
    answer = StoredAnswer("hang", 0, (), StoredBody("none", 0, None), 1.0, 2.0)
    sample = Sample(
        id="1",
        route="notes.create",
        operation=None,
        verdict="declared",
        served="legacy",
        at=0.0,
        request=StoredRequest("POST", None, told, None, (), StoredBody("json", 20, tree)),
        legacy=answer,
        native=answer,
        differences=(),
        violations=(),
        declared=("late",),
        hidden=("body.etag",),
        writes=(StoredWrite("notes", "insert", tree),),
    )
    out = Console(width=120, file=io.StringIO())
    out.print(sample_account(sample))
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert "hidden by x-compare: body.etag" in text
    assert "native would have written" in text
    assert "insert notes" in text
    assert "more  object of 90" in text
    assert "tags" in text
    assert "legacy: hang" in text


def test_dropped_reports_and_stale_declarations_are_warned_of() -> None:
    stale = DivergenceSummary("gone", "", "", "", "", "", 1, 0.0, 0.0, stale=True)
    routes = (RouteSummary("a", dropped=1200),)
    findings = QueryResult(routes, (), (), (stale,), (), None, ReportHealth(0, None), ("a",), ())
    [declared] = TypeAdapter(list[Divergence]).validate_python(yaml.safe_load(DIVERGENCES))[:1]
    assert warnings(findings, ContractBundle(None, (declared,))) == [
        "a: 1,200 more comparisons could not be stored",
        "observed, but no longer declared: gone",
    ]
