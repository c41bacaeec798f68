"""`scribe-proxy report` over reports in a real MongoDB: tables, samples, suggestions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from proxy.cli.main import main
from proxy.comparison.exchanges import compare
from proxy.contract.divergences import Divergence
from proxy.contract.reading import load
from tests.support.stored_reports import CONTRACT, DATABASE, NOTES, listed, report, report_json, row


def test_overview_counts_routes_and_names_fields(reported: str, contracts: Path) -> None:
    result = report(reported, contracts)
    assert result.exit_code == 0
    assert row(result.stdout, NOTES)[1:8] == ["10", "1", "1", "7", "3", "2", "80.00%"]
    assert row(result.stdout, "quiet")[1:3] == ["1,001", "1,000"]
    assert "1 hidden, 1 timeout" in result.stdout
    assert "1 of 3" in " ".join(row(result.stdout, NOTES))
    assert "body.notes.*.title" in result.stdout
    assert "8 mismatches and 3 violations (2 both) in 1,011 comparisons on 3 routes" in result.stdout
    assert "! blind: 0 of 1 requested comparisons were made (too slow); to compare more, raise" in result.stderr
    assert "! blind: in 1 of its requests x-compare hid the whole answer" in result.stderr


def test_route_is_shown_by_field_kind_violation_and_sample(reported: str, contracts: Path) -> None:
    result = report(reported, contracts, "--route", NOTES)
    title = row(result.stdout, "body.notes.*.title")
    assert title[1:4] == ["value", "major", "2"]
    assert "1 of 3 replays" in result.stdout
    assert "is not of type" in result.stdout or "breaks `anyOf`" in result.stdout
    assert "mismatch" in result.stdout
    assert "quiet" not in result.stdout


def test_field_and_kind_filter_the_rows(reported: str, contracts: Path) -> None:
    filtered = report_json(reported, contracts, "--route", NOTES, "--field", "body.notes.*.title", "--kind", "type")
    assert [(one["field"], one["kind"], one["unexplained"]) for one in filtered["fields"]] == [
        ("body.notes.*.title", "type", 1)
    ]
    assert {tuple(field) for one in filtered["samples"] for field in one["fields"]} >= {("body.notes.*.title", "type")}


def test_verdict_filters_routes_and_fields(reported: str, contracts: Path) -> None:
    filtered = report_json(reported, contracts, "--verdict", "declared")
    assert [one["route"] for one in filtered["routes"]] == [NOTES]
    assert [one["field"] for one in filtered["fields"]] == ["body.notes.*.status"]
    assert [one["route"] for one in report_json(reported, contracts, "--verdict", "skipped")["routes"]] == ["blind"]
    table = report(reported, contracts, "--verdict", "declared").stdout
    assert "body.notes.*.status" in table
    assert "body.notes.*.status" not in report(reported, contracts).stdout


def test_newest_sample_side_by_side(reported: str, contracts: Path) -> None:
    where = ("--route", NOTES, "--field", "body.notes.*.title", "--kind", "value")
    output = report(reported, contracts, *where, "--sample").stdout
    assert "legacy: 200" in output
    assert "body.notes.0.title" in output
    [title] = [line.split() for line in output.splitlines() if line.split()[:1] == ["title"]]
    assert [title.count(word) for word in ("string", "of", "-")] == [2, 2, 0]  # both answers in one row
    assert '"active"' in output
    assert "Agnes" not in output
    sample = report_json(reported, contracts, *where, "--sample")
    assert sample["legacy"]["body"]["content"]["fields"][0][0] == "notes"
    again = report_json(reported, contracts, "--sample", sample["id"])
    assert again == sample


def test_sample_shows_noise_declared_divergences_and_violations(reported: str, contracts: Path) -> None:
    noise = report(reported, contracts, "--route", NOTES, "--field", "body.notes.*.tags", "--sample").stdout
    assert "noise" in noise
    declared = report(reported, contracts, "--verdict", "declared", "--sample").stdout
    assert "declared: no-status" in declared
    violation = report(reported, contracts, "--kind", "violation", "--sample").stdout
    assert "legacy breaks the contract: body.notes.*.seen" in violation


def test_missing_sample_is_reported(reported: str, contracts: Path) -> None:
    assert "there is no such sample" in report(reported, contracts, "--route", "blind", "--sample").stdout
    assert report_json(reported, contracts, "--route", "blind", "--sample") is None


def test_unrepeatable_field_suggests_a_rule_with_its_line(reported: str, contracts: Path) -> None:
    suggestions = {(one["field"], one["kind"]): one for one in report_json(reported, contracts, "--suggest")}
    unrepeatable, tags = suggestions["body.notes.*.seen", "value"], suggestions["body.notes.*.tags", "order"]
    lines = CONTRACT.splitlines()
    assert unrepeatable["rule"] == "x-compare: ignore"
    file, _, line = unrepeatable["where"].rpartition(":")
    assert Path(file).name == "openapi.yaml"
    assert "seen:" in lines[int(line) - 1]
    assert unrepeatable["evidence"] == "differs in 1 comparison; legacy differed from itself in 1 of 3 replays"
    assert tags["rule"] == "x-compare: unordered"


def test_repeated_legacy_answer_suggests_a_valid_divergence(reported: str, contracts: Path) -> None:
    suggestions = {(one["field"], one["kind"]): one for one in report_json(reported, contracts, "--suggest")}
    title = suggestions["body.notes.*.title", "value"]
    assert title["evidence"] == "differs in 2 comparisons; legacy repeated itself in all of 3 replays"
    [entry] = yaml.safe_load(title["rule"])
    divergence = Divergence.model_validate(entry)
    operation = load(contracts / "openapi.yaml").named("notes.list")
    verdict = compare(listed(), listed(title="Bert"), operation, [divergence])
    assert (verdict.name, verdict.declared) == ("declared", (divergence.id,))
    status = yaml.safe_load(suggestions["status", "status"]["rule"])[0]
    assert status["when"] == {"legacy": {"status": 200}, "native": {"status": 404}, "paths": ["status"]}
    assert not any("Agnes" in json.dumps(one) for one in suggestions.values())


def test_suggestions_leave_the_contract_unchanged(reported: str, contracts: Path) -> None:
    before = (contracts / "openapi.yaml").read_text()
    result = report(reported, contracts, "--suggest", "--route", NOTES)
    assert "x-compare: ignore" in result.stdout
    assert "nothing was changed" in result.stdout
    assert (contracts / "openapi.yaml").read_text() == before


def test_empty_period_names_the_oldest_report(reported: str, contracts: Path) -> None:
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
def test_wrong_question_is_explained(reported: str, contracts: Path, arguments: list[str], said: str) -> None:
    result = report(reported, contracts, *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_unreachable_mongodb_is_2(contracts: Path) -> None:
    result = report("mongodb://127.0.0.1:1", contracts)
    message = "Error: MongoDB at 127.0.0.1:1 cannot be reached; its URL is --mongodb-url\n"
    assert (result.exit_code, result.stderr) == (2, message)
    assert report("nonsense", contracts).exit_code == 2


def test_routing_yaml_locates_reports_and_contracts(
    reported: str, contracts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPORTS", reported)
    routing = tmp_path / "routing.yaml"
    routing.write_text(
        f"mongodb: {{url: '${{REPORTS}}', database: {DATABASE}}}\ncontracts: {contracts}\n"
        "legacy: {url: '${UNSET_URL}'}\nroutes: [{name: unused, match: GET /}]\n"
    )
    result = CliRunner().invoke(main, ["report", "--json"])
    assert result.exit_code == 0, result.output
    assert [one["id"] for one in json.loads(result.stdout)["divergences"]] == ["no-status", "never-seen"]
    unused = CliRunner().invoke(main, ["report", "--route", "unused"])
    assert "no report of unused in this time" in " ".join(unused.stderr.split())
    routing.write_text("nonsense")
    monkeypatch.setenv("MONGODB_URL", "")
    broken = CliRunner().invoke(main, ["report"])
    refused = "routing.yaml is ignored, as `scribe-proxy check` refuses it: routing.yaml:1: must be a mapping"
    assert refused in broken.stderr
    assert "no MongoDB is named" in broken.stderr
