"""Mismatches and violations are counted separately in every output, for the same comparisons.

Of nine comparisons two match, one is declared, one is a mismatch, two are violations, and three are both: four
mismatches and five violations, of which six comparisons are.
"""

from __future__ import annotations

import asyncio
import csv
import io
import re
import uuid
from collections import Counter
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import fromstring

import pytest
from rich.console import Console
from starlette.testclient import TestClient

from demo.ports import free_port
from proxy.cli.report_tables import route_table
from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare
from proxy.comparison.verdicts import Verdict
from proxy.contract.divergences import Case, Divergence
from proxy.observability import metrics
from proxy.ops.app import create_ops
from proxy.ops.charts import trend
from proxy.reports import summaries
from proxy.reports.counter_keys import of_comparison
from proxy.reports.events import ComparisonEvent
from proxy.reports.exports import as_json, junit, routes_csv
from proxy.reports.gate import Gate, evaluate
from proxy.reports.models import RouteSummary, Span
from proxy.reports.redaction import Redactor
from proxy.shadow.counts import Counts
from proxy.types import BasisPoints
from tests.support.exchanges import answered, operation, properties
from tests.support.ops_server import stage

CONTRACT: Final = operation(properties(a={"type": "integer"}, b={"type": "integer"}))
DECLARED: Final = Divergence(
    id="b-differs",
    operation="GET /api/notes",
    legacy="-",
    native="-",
    reason="-",
    since="1",
    when=(Case(paths=("body.b",)),),
)
NUMBERS: Final = {"match": 2, "declared": 1, "mismatch": 4, "violation": 5, "both": 3}
COMPARED, FAILED = 9, 6
WORDS: Final = "4 mismatches and 5 violations (3 both)"
ANSWERS: Final[list[tuple[Any, Any]]] = [
    *[({"a": 1}, {"a": 1})] * 2,
    ({"a": 1, "b": 1}, {"a": 1, "b": 2}),
    ({"a": 1}, {"a": 2}),
    *[({"a": "1"}, {"a": "1"})] * 2,
    *[({"a": 1}, {"a": "1"})] * 3,
]


def verdicts() -> list[tuple[Verdict, Exchange, Exchange]]:
    pairs = [(answered(legacy), answered(native)) for legacy, native in ANSWERS]
    return [(compare(*pair, CONTRACT, [DECLARED]), *pair) for pair in pairs]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Return the rows that the report stores of the comparisons."""
    counts: Counter[Any] = Counter()
    for verdict, legacy, native in verdicts():
        event = ComparisonEvent("r", CONTRACT, "legacy", verdict, legacy, native)
        counts.update(of_comparison(event, Redactor(b"0123456789abcdef"), str))
    defaults = {"verdict": None, "reason": None, "noisy": None, "revision": None, "first": 0.0, "last": 1.0, "at": 0.0}
    return [
        {**defaults, **dict(key), "number": number} for key, number in counts.items() if dict(key)["what"] == "verdict"
    ]


@pytest.fixture(scope="module")
def summary(rows: list[dict[str, Any]]) -> RouteSummary:
    (route_summary,) = summaries.routes((), rows, 60)
    return route_summary


def of_csv(summary: RouteSummary) -> dict[str, int]:
    (line,) = csv.DictReader(io.StringIO(routes_csv([summary])))
    return {name: int(line[name]) for name in (*NUMBERS, "compared")}


def of_json(summary: RouteSummary) -> dict[str, int]:
    return {name: as_json(summary)[name] for name in (*NUMBERS, "compared")}


def of_junit(summary: RouteSummary) -> dict[str, int]:
    case = fromstring(junit(evaluate(Gate(BasisPoints(0)), [summary], [], {}))).find("testcase")
    assert case is not None
    given = {one.attrib["name"]: int(one.attrib["value"]) for one in case.iter("property")}
    return {"match": 2, "declared": 1, **given}


def of_table(summary: RouteSummary) -> dict[str, int]:
    console = Console(file=io.StringIO(), width=200)
    console.print(route_table([summary]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    line = next(line.split() for line in text.splitlines() if line.split()[:1] == ["r"])
    names = ("compared", "match", "declared", "mismatch", "violation", "both")
    return {name: int(number) for name, number in zip(names, line[1:7], strict=True)}


def of_trend(summary: RouteSummary) -> dict[str, int]:
    (one,) = summary.trend
    (column,) = trend(summary.trend, Span(0.0, 3600.0))
    failed = column.mismatch + column.violation
    assert failed / column.height == pytest.approx(FAILED / COMPARED, abs=0.01)
    assert column.mismatch / failed == pytest.approx(NUMBERS["mismatch"] / FAILED, abs=0.01)
    return {name: getattr(one, name) for name in (*NUMBERS, "compared")}


@pytest.mark.parametrize("output", [of_csv, of_json, of_junit, of_table, of_trend])
def test_each_output_counts_both_kinds(summary: RouteSummary, output: Callable[[RouteSummary], dict[str, int]]) -> None:
    assert output(summary) == {**NUMBERS, "compared": COMPARED}


def test_sums_and_revisions_count_both_kinds(rows: list[dict[str, Any]], summary: RouteSummary) -> None:
    (revision,) = summaries.revisions(rows)
    for one in (revision, summaries.total([summary])):
        assert {name: getattr(one, name) for name in NUMBERS} == NUMBERS
        assert (one.compared, one.failed, one.failures) == (COMPARED, FAILED, WORDS)


@pytest.mark.parametrize(("share", "is_failed"), [(66, True), (67, False)])
def test_gate_names_both_kinds(summary: RouteSummary, share: int, is_failed: bool) -> None:
    (result,) = evaluate(Gate(BasisPoints(100 * share)), [summary], [], {})
    reason = f"66.67% of 9 comparisons differ: {WORDS}; the limit is {share}%"
    assert result.reasons == ((reason,) if is_failed else ())


def test_metrics_and_pages_count_both_kinds(tmp_path: Path) -> None:
    route = f"r-{uuid.uuid4().hex[:8]}"

    async def count() -> None:
        counts = Counts((), None, 0.1)
        for verdict, *_ in verdicts():
            counts.add_verdict(route, "legacy", verdict.count_name, verdict.reason)
        counts.publish()

    asyncio.run(count())
    exposed = re.findall(rf'comparisons_total{{route="{route}".*?verdict="(\w+)"}} ([\d.]+)', metrics.expose().decode())
    assert {name: float(number) for name, number in exposed} == {
        "match": 2,
        "declared": 1,
        "mismatch": 1,
        "violation": 2,
        "both": 3,
    }
    with TestClient(create_ops(stage(tmp_path, free_port()))) as client:
        listed = client.get(f"/comparisons.json?q={route}").json()["routes"]
        (counted,) = [line["summary"] for line in listed if line["name"] == route]
        assert {name: counted[name] for name in NUMBERS} == NUMBERS
        for path in (f"/comparisons?q={route}", f"/routes/{route}"):
            shown = " ".join(unescape(re.sub(r"<[^>]+>", " ", client.get(path).text)).split())
            assert "4 5 violations" in shown
            assert ", 3 both" in shown
