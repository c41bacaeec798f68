"""Reports for machines: JSON, CSV, and JUnit XML for CI. Pure."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from proxy.reports.models import FieldSummary, RouteSummary

JsonObject: TypeAlias = dict[str, Any]

_ROUTE_COLUMNS = ("route", "compared", "match", "declared", "mismatch", "violation", "different")
_ROUTE_SUMS = ("skipped", "legacy", "native", "replays", "noisy", "dropped")
_FIELD_COLUMNS = ("route", "field", "kind", "severity", "count", "unexplained", "declared", "noise", "replays")


def as_json(view: Any) -> JsonObject:
    """Return a view as JSON, with the sums of routes and fields."""
    result: JsonObject = dataclasses.asdict(view)
    if isinstance(view, RouteSummary):
        result |= {"compared": view.compared, "different": view.different}
    if isinstance(view, FieldSummary):
        result |= {"unexplained": view.unexplained}
    return result


def routes_csv(routes: Sequence[RouteSummary]) -> str:
    """Return a line for each route; `skipped` is the sum, `legacy` and `native` the requests served."""
    return _csv((*_ROUTE_COLUMNS, *_ROUTE_SUMS), [_route(one) for one in routes])


def fields_csv(fields: Sequence[FieldSummary]) -> str:
    """Return a line for each field and kind; times are ISO 8601 in UTC."""
    rows = [[*(getattr(one, name) for name in _FIELD_COLUMNS), _iso(one.first), _iso(one.last)] for one in fields]
    return _csv((*_FIELD_COLUMNS, "first", "last"), rows)


def junit(routes: Sequence[RouteSummary], fields: Sequence[FieldSummary], most: float) -> str:
    """Return a test case for each route: failed over the share `most` (0 to 1), skipped without comparisons."""
    failed = sum(exceeds(route, most) for route in routes)
    skipped = sum(route.different is None for route in routes)
    counts = {"tests": str(len(routes)), "failures": str(failed), "skipped": str(skipped)}
    suite = Element("testsuite", {"name": "scribe-proxy report", **counts})
    for route in routes:
        case = SubElement(suite, "testcase", {"classname": "routes", "name": route.route})
        if route.different is None:
            SubElement(case, "skipped", {"message": "nothing was compared"})
        elif exceeds(route, most):
            message = f"{route.different:.2%} of {route.compared} comparisons differ, at most {most:.2%} may"
            failure = SubElement(case, "failure", {"message": message})
            failure.text = "\n".join(_line(one) for one in fields if one.route == route.route and one.unexplained)
    indent(suite)
    return tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def exceeds(route: RouteSummary, most: float) -> bool:
    """Return whether more than the share `most` (0 to 1) of a route's comparisons differ."""
    return route.different is not None and route.different > most


def _route(one: RouteSummary) -> list[object]:
    served = (one.requests.get("legacy", 0), one.requests.get("native", 0))
    sums = (sum(one.skipped.values()), *served, one.replays, one.noisy, one.dropped)
    return [*(getattr(one, name) for name in _ROUTE_COLUMNS), *sums]


def _line(field: FieldSummary) -> str:
    return f"{field.field} ({field.kind}, {field.severity}): {field.unexplained}"


def _csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
