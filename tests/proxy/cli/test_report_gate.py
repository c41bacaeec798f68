"""`scribe-proxy report` for CI: exports, the gate, triage."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from click.testing import CliRunner

from proxy.cli.main import main
from proxy.database.database import Database
from proxy.reports.gate import Gate, evaluate
from proxy.reports.models import RouteSummary
from proxy.reports.registry import DifferenceRegistry
from proxy.reports.triage import Observation, difference_id
from tests.support.stored_reports import DATABASE, NOTES, report


def test_csv_lists_routes_or_fields_of_one_route(reported: str, contracts: Path) -> None:
    routes = list(csv.DictReader(io.StringIO(report(reported, contracts, "--csv").stdout)))
    assert [(one["route"], one["compared"]) for one in routes] == [("blind", "0"), (NOTES, "10"), ("quiet", "1001")]
    assert (routes[0]["skipped"], routes[1]["native"]) == ("2", "1")
    fields = list(csv.DictReader(io.StringIO(report(reported, contracts, "--csv", "--route", NOTES).stdout)))
    assert fields[0]["field"].startswith("body.notes")
    assert fields[0]["first"].endswith("+00:00")


def test_gate_fails_with_1_and_names_the_route(reported: str, contracts: Path) -> None:
    result = report(reported, contracts, "--max-mismatch", "0.1%")
    assert result.exit_code == 1
    assert (
        f"{NOTES}: 80.00% of 10 comparisons differ: 7 mismatches and 3 violations (2 both); the limit is 0.1%"
        in result.stderr
    )
    assert "quiet" not in result.stderr
    assert report(reported, contracts, "--max-mismatch", "0.1%", "--route", "quiet").exit_code == 0
    assert report(reported, contracts, "--max-mismatch", "80%").exit_code == 0


def test_gate_without_comparisons_is_2(reported: str, contracts: Path) -> None:
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
        == "80.00% of 10 comparisons differ: 7 mismatches and 3 violations (2 both); the limit is 0.1%"
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
    assert "absent: 0 comparisons; the minimum is 11" in result.stderr
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()
    cases = {case.attrib["name"]: case for case in suite}
    assert {name for name, case in cases.items() if case.find("failure") is not None} == {NOTES, "absent", "blind"}
    failure = cases[NOTES].find("failure")
    assert failure is not None
    identity = difference_id(NOTES, "body.notes.*.title", "value")
    line = f"{identity} new body.notes.*.title (value, major): 2 https://ops.example/differences/{identity}"
    assert line in (failure.text or "").splitlines()


def test_filters_do_not_change_totals_and_gate(reported: str, contracts: Path) -> None:
    for filters in (["--verdict", "declared"], ["--verdict", "skipped"], ["--kind", "type"]):
        result = report(reported, contracts, *filters, "--max-mismatch", "0.1%")
        assert (result.exit_code, f"{NOTES}: 80.00% of 10 comparisons differ" in result.stderr) == (1, True)
        assert "8 mismatches and 3 violations (2 both) in 1,011 comparisons on 3 routes" in result.stdout


def test_triage_sets_states_and_a_returned_one_fails_the_gate(reported: str, contracts: Path) -> None:
    def triage(*arguments: object) -> Any:
        command = ["report", "triage", "--mongodb-url", reported, "--database", DATABASE, "--json"]
        return CliRunner().invoke(main, [*command, *map(str, arguments)])

    listed_ones = json.loads(triage("--route", NOTES).stdout)
    assert {one["state"] for one in listed_ones} == {"new"}
    identity = difference_id(NOTES, "body.notes.*.title", "value")
    assert "a known difference needs a reason: --why" in triage(identity, "known", "--who", "Ada").output
    [known] = json.loads(triage(identity, "known", "--who", "Ada", "--why", "as agreed", "--ticket", "QA-7").stdout)
    assert (known["state"], known["mark"]["actor"], known["mark"]["ticket"]) == ("known", "Ada", "QA-7")
    assert json.loads(triage("--route", NOTES).stdout)[-1]["id"] == identity
    asyncio.run(_observe(reported, Observation(NOTES, "body.notes.*.title", "value", time.time(), None)))
    warned = [triage(identity, state, "--who", "Ada", "--in", "r2").stderr for state in ("new", "fixed")]
    assert ["! native ran without a revision" in stderr for stderr in warned] == [False, True]
    asyncio.run(_observe(reported, Observation(NOTES, "body.notes.*.title", "value", time.time() + 1, "r2")))
    assert json.loads(triage(identity).stdout)[0]["state"] == "returned"
    table = ["report", "triage", identity, "--mongodb-url", reported, "--database", DATABASE]
    assert "fixed by Ada, in r2; observed in r2" in " ".join(
        CliRunner().invoke(main, table, env={"COLUMNS": "240"}).stdout.split()
    )
    failed = report(reported, contracts, "--max-mismatch", "100%")
    assert (failed.exit_code, "body.notes.*.title (value) was fixed and has returned" in failed.stderr) == (1, True)
    assert "differences: 1 returned" in failed.stdout
    assert triage("0" * 16).exit_code == 2
    json.loads(triage(identity, "new", "--who", "Ada").stdout)
    assert report(reported, contracts, "--max-mismatch", "100%").exit_code == 0


def test_gate_requires_comparisons_of_compared_routes() -> None:
    counted, compared, skipped = (
        RouteSummary("login", requests={"legacy": 9}),
        RouteSummary("notes", match=2),
        RouteSummary("blind", skipped={"timeout": 1}),
    )
    results = evaluate(Gate(None, 3), (counted, compared, skipped), (), {}, required=("absent",))
    assert {one.route for one in results if one.reasons} == {"notes", "blind", "absent"}
    assert [one.reasons for one in evaluate(Gate(None, 3), (counted,), (), {}, required=("login",))] == [
        ("0 comparisons; the minimum is 3",)
    ]


def test_options_before_triage_are_refused(reported: str) -> None:
    result = CliRunner().invoke(main, ["report", "--mongodb-url", reported, "triage"])
    assert result.exit_code == 2
    assert "--mongodb-url has no effect here: write it after triage" in result.output


async def _observe(url: str, observation: Observation) -> None:
    database = Database(url, DATABASE)
    await DifferenceRegistry(database).register([observation])
    await database.close()
