"""`scribe-proxy report`: contracts, coverage, warnings."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import yaml
from click.testing import CliRunner
from pydantic import TypeAdapter
from rich.console import Console

from proxy.cli.main import main
from proxy.cli.report_tables import sample_account
from proxy.contract.bundle import ContractBundle
from proxy.contract.divergences import Divergence
from proxy.contract.reading import load
from proxy.inference.checking import ObservedOperation, coverage, with_live_counts
from proxy.recordings.model import Recordings
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
from proxy.types import JSON
from tests.support.stored_reports import CONTRACT, DATABASE, DIVERGENCES, report, report_json, row


def test_contract_problems_and_catch_all_divergences_are_shown(reported: str, contracts: Path, tmp_path: Path) -> None:
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


def test_coverage_lists_answers_seen_in_live_traffic_only(contracts: Path) -> None:
    contract = load(contracts / "openapi.yaml")
    observed = [
        ObservedOperation("notes.list", "500", "text/html", 2),
        ObservedOperation("notes.list", "500", None, 1),
        ObservedOperation("notes.list", "hang", None, 1),
        ObservedOperation("gone", "200", None, 1),
    ]
    rows = with_live_counts(coverage(contract, Recordings()), contract, observed)
    live_rows = [(one.status, one.live, one.declared, one.media) for one in rows if one.live]
    assert live_rows == [("500", 3, False, ("text/html",)), ("hang", 1, True, ())]


def test_times_are_accepted_in_iso_format(reported: str, contracts: Path) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1000))
    assert report_json(reported, contracts, "--since", now)["routes"]


def dry_run_sample(route: str = "notes.create") -> Sample:
    cut: JSON = {"type": "object", "length": 90, "cut": True}
    empty: JSON = {"type": "array", "length": 0, "items": []}
    fields: JSON = [["tags", empty], ["more", cut], ["done", {"type": "boolean"}]]
    tree: dict[str, JSON] = {"type": "object", "length": 3, "fields": fields}
    short_text: dict[str, JSON] = {"type": "string", "length": 6}
    answer = StoredAnswer("hang", 0, (), StoredBody("none", 0, None), 1.0, 2.0)
    return Sample(
        id="1",
        route=route,
        operation=None,
        verdict="declared",
        served="legacy",
        at=0.0,
        request=StoredRequest("POST", None, short_text, None, (), StoredBody("json", 20, tree)),
        legacy=answer,
        native=answer,
        differences=(),
        violations=(),
        declared=("late",),
        hidden=("body.etag",),
        writes=(StoredWrite("notes", "insert", tree),),
    )


def printed(sample: Sample) -> str:
    out = Console(width=120, file=io.StringIO())
    out.print(sample_account(sample))
    return out.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_hidden_and_dry_run_fields_are_shown() -> None:
    text = printed(dry_run_sample())
    assert "hidden by x-compare: body.etag" in text
    assert "native would have written" in text
    assert "insert notes" in text
    assert "more  object of 90" in text
    assert "tags" in text
    assert "legacy: hang" in text
    assert "request body" in text


def test_sample_of_a_conversation_has_its_messages_and_no_writes() -> None:
    sample = dry_run_sample()
    request = replace(sample.request, body=replace(sample.request.body, form="frames"))
    text = printed(replace(sample, request=request, writes=()))
    assert "the client's messages" in text
    assert "native would have written\n(nothing)" in "\n".join(map(str.strip, text.splitlines()))


def test_dropped_reports_and_stale_declarations_are_warned_of() -> None:
    stale = DivergenceSummary("gone", "", "", "", "", "", 1, 0.0, 0.0, stale=True)
    routes = (RouteSummary("a", dropped=1200), RouteSummary("b", dropped=1))
    findings = QueryResult(routes, (), (), (stale,), (), None, ReportHealth(0, None), ("a", "b"), ())
    [declared] = TypeAdapter(list[Divergence]).validate_python(yaml.safe_load(DIVERGENCES))[:1]
    assert warnings(findings, ContractBundle(None, (declared,))) == [
        "a: 1,200 more comparisons could not be stored",
        "b: 1 more comparison could not be stored",
        "observed, but no longer declared: gone",
    ]
    of_sample = warnings(replace(findings, sample=dry_run_sample("b")), ContractBundle())
    assert of_sample == ["b: 1 more comparison could not be stored"]
