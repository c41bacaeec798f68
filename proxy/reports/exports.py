"""Export reports for programs: JSON, CSV, and JUnit XML for CI. Pure."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from proxy.reports.coverage import coverage_of
from proxy.reports.gate import RouteResult
from proxy.reports.models import FieldSummary, RouteSummary
from proxy.reports.times import iso

JsonObject: TypeAlias = dict[str, Any]

_ROUTE_COLUMNS = ("route", "compared", "match", "declared", "mismatch", "violation", "both", "different")
_ROUTE_SUMS = ("skipped", "legacy", "native", "replays", "noisy", "dropped")
_FIELD_COLUMNS = ("route", "field", "kind", "severity", "count", "unexplained", "declared", "noise", "replays")


def as_json(view: Any) -> JsonObject:
    """Return a view as JSON, with the sums of routes and fields."""
    result: JsonObject = dataclasses.asdict(view)
    if isinstance(view, RouteSummary):
        coverage = coverage_of(view)
        result |= {"compared": view.compared, "different": view.different, "requested": coverage.requested}
    if isinstance(view, FieldSummary):
        result |= {"unexplained": view.unexplained}
    return result


def routes_csv(routes: Sequence[RouteSummary]) -> str:
    """Return a line for each route; `skipped` is the sum, `legacy` and `native` the requests served."""
    return _csv((*_ROUTE_COLUMNS, *_ROUTE_SUMS), [_route(one) for one in routes])


def fields_csv(fields: Sequence[FieldSummary]) -> str:
    """Return a line for each field and kind; times are ISO 8601 in UTC."""
    rows = [[*(getattr(one, name) for name in _FIELD_COLUMNS), iso(one.first), iso(one.last)] for one in fields]
    return _csv((*_FIELD_COLUMNS, "first", "last"), rows)


def junit(results: Sequence[RouteResult], ops_url: str = "") -> str:
    """Return a test case for each route: failed for the reasons of the gate, skipped without comparisons.

    A failure lists the differing fields with the ids of the differences, and links to them if `ops_url` is given.
    """
    failed = sum(bool(one.reasons) for one in results)
    skipped = sum(one.skipped for one in results)
    counts = {"tests": str(len(results)), "failures": str(failed), "skipped": str(skipped)}
    suite = Element("testsuite", {"name": "scribe-proxy report", **counts})
    for result in results:
        case = SubElement(suite, "testcase", {"classname": "routes", "name": result.route})
        properties = SubElement(case, "properties")
        for name, value in _properties(result, ops_url):
            SubElement(properties, "property", {"name": name, "value": value})
        if result.skipped:
            SubElement(case, "skipped", {"message": "nothing was compared"})
        elif result.reasons:
            failure = SubElement(case, "failure", {"message": "; ".join(result.reasons)})
            failure.text = "\n".join(_line(*one, ops_url) for one in result.fields)
    indent(suite)
    return tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _properties(result: RouteResult, ops_url: str) -> Iterator[tuple[str, str]]:
    for name in ("compared", "mismatch", "violation", "both"):
        yield name, str(getattr(result.summary, name))
    if ops_url:
        yield "url", f"{ops_url}/routes/{result.route}"


def _route(one: RouteSummary) -> list[object]:
    served = (one.requests.get("legacy", 0), one.requests.get("native", 0))
    sums = (sum(one.skipped.values()), *served, one.replays, one.noisy, one.dropped)
    return [*(getattr(one, name) for name in _ROUTE_COLUMNS), *sums]


def _line(field: FieldSummary, identity: str, state: str, ops_url: str) -> str:
    link = f" {ops_url}/differences/{identity}" if ops_url and state else ""
    label = f"{state} " if state else ""
    return f"{identity} {label}{field.field} ({field.kind}, {field.severity}): {field.unexplained}{link}"


def _csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()
