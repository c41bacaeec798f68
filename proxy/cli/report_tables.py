"""Print `scribe-proxy report` for people: tables of routes, fields and violations, samples, suggestions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from proxy.reports.models import (
    Drift,
    FieldSummary,
    RouteSummary,
    Sample,
    SampleHead,
    StoredDifference,
    StoredValue,
    Tree,
)
from proxy.reports.revisions import ReleaseComparison
from proxy.reports.side_by_side import Cell, Mark, Relation, SideBySideRow, rows
from proxy.reports.suggestions import Suggestion
from proxy.types import JSON

_RED: Final = "bold red"
_DIM: Final = "dim"
_MARK_STYLES: Final[Mapping[Mark, str]] = {"different": _RED, "declared": "yellow", "noise": "yellow", "": ""}
_RELATIONS: Final[Mapping[Relation, str]] = {"renamed": "  renamed?", "moved": "  moved", "": ""}
_STATE_STYLES: Final = {"returned": _RED, "new": "yellow"}


def route_table(routes: Sequence[RouteSummary]) -> Table:
    """Return a table of the results of comparisons by route; `served` counts requests by legacy and by native."""
    table = _table("route", "compared-", "match-", "declared-", "mismatch-", "violation-", "both-", "fail-", "skipped")
    table.add_column("legacy repeats", justify="right")
    table.add_column("served", justify="right")
    for one in routes:
        share = "-" if one.different is None else f"{one.different:.2%}"
        table.add_row(
            Text(one.route, style="bold"),
            *map(_number, (one.compared, one.match)),
            _number(one.declared, "yellow"),
            _number(one.mismatch, _RED),
            _number(one.violation, _RED),
            _number(one.both, _RED),
            Text(share, style=_RED if one.different else ""),
            Text(", ".join(f"{number:,} {reason}" for reason, number in sorted(one.skipped.items()))),
            f"{one.replays - one.noisy:,} of {one.replays:,}" if one.replays else "",
            f"{one.requests.get('legacy', 0):,} + {one.requests.get('native', 0):,}",
        )
    return table


def field_table(fields: Sequence[tuple[FieldSummary, str, str]], *, routed: bool = True) -> Table:
    """Return the fields that differ with the state of each, and if `routed` a route column in place of `first`."""
    table = _table(*(["route"] if routed else []), "field", "kind", "severity", "unexplained-", "declared-")
    for heading in ("legacy differs from itself", *(() if routed else ("first",)), "last", "state"):
        table.add_column(heading, no_wrap=True)
    for one, _, state in fields:
        noise = f"{one.noise} of {one.replays} replays" if one.replays else "not replayed"
        table.add_row(
            *([Text(one.route)] if routed else []),
            Text(one.field, style="bold"),
            one.kind,
            one.severity,
            _number(one.unexplained, _RED),
            _number(one.declared, "yellow"),
            Text(noise, style="yellow" if one.noise else _DIM),
            *([] if routed else [moment(one.first)]),
            moment(one.last),
            Text(state, style=_STATE_STYLES.get(state, _DIM)),
        )
    return table


def drift_table(drifts: Sequence[Drift]) -> Table:
    """Return contract violations by route and field."""
    table = _table("route", "backend", "field", "broken rule", "answers-", "first", "last")
    for one in drifts:
        cells = (Text(one.route), one.backend, Text(one.path, style="bold"), Text(one.message))
        table.add_row(*cells, _number(one.count, _RED), moment(one.first), moment(one.last))
    return table


def releases_table(both: ReleaseComparison) -> Table:
    """Return the differences of two revisions of native, new ones first."""
    before, after = (f"{one.revision} of {one.compared:,}-" for one in (both.before, both.after))
    table = _table("field", "kind", "change", before, after)
    for one in both.fields:
        style = _RED if one.change == "new" else "green" if one.change in ("gone", "less") else "yellow"
        counts = (_number(one.before), _number(one.after))
        table.add_row(Text(one.field, style="bold"), one.kind, Text(one.change, style=style), *counts)
    return table


def sample_table(samples: Sequence[SampleHead]) -> Table:
    """Return a list of samples with their ids."""
    table = _table("sample", "at", "verdict", "served by", "legacy-", "native-", "differs in")
    for one in samples:
        fields = ", ".join(f"{field} ({kind})" for field, kind in one.fields)
        statuses = (str(status or "-") for status in one.statuses)
        table.add_row(Text(one.id, style="bold"), moment(one.at), one.verdict, one.served, *statuses, Text(fields))
    return table


def sample_account(sample: Sample) -> Group:
    """Return one comparison: the request, both answers, and their differences."""
    request = sample.request
    head = Text(f"{sample.id}  {sample.verdict}", style="bold").append(
        f"  {sample.route}  {request.method} {request.template or ''}  {moment(sample.at)}  served by {sample.served}",
        style="default",
    )
    violations = (f"{one.backend} breaks the contract: {one.field} {one.message}" for one in sample.violations)
    parts: list[RenderableType] = [head, _differences(sample), *(Text(one, style=_RED) for one in violations)]
    if sample.declared:
        parts.append(Text(f"declared: {', '.join(sample.declared)}", style="yellow"))
    if sample.hidden:
        parts.append(Text(f"hidden by x-compare: {', '.join(sample.hidden)}", style=_DIM))
    title = "the client's messages" if request.body.form == "frames" else "request body"
    parts += [_answers(sample), Text(title, style="bold"), Text(shown(request.body.content))]
    if sample.writes is not None:
        parts.append(Text("native would have written", style="bold"))
        parts += [Text(f"{one.operation} {one.collection}\n{shown(one.content)}") for one in sample.writes]
        parts += [] if sample.writes else [Text("(nothing)")]
    return Group(*parts)


def suggestion_account(suggestion: Suggestion) -> Text:
    """Return a suggestion: the field, the evidence, and the rule with its file."""
    text = Text(f"{suggestion.route}  {suggestion.field} ({suggestion.kind})", style="bold")
    text.append(f"\n{suggestion.evidence}", style="default")
    if suggestion.rule:
        text.append(f"\n# {suggestion.where}\n", style=_DIM).append(suggestion.rule, style="green")
    if suggestion.remark:
        text.append(f"\n{suggestion.remark}", style="yellow")
    return text.append("\n")


def moment(seconds: float) -> str:
    """Return a time in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def shown(tree: Tree | None) -> str:
    """Return a redacted value as indented text, with types, lengths and digests in place of values."""
    return "(empty)" if tree is None else "\n".join(_lines(tree, 0))


def _lines(tree: Mapping[str, Any], depth: int) -> Iterator[str]:
    """Yield a line for each entry of an object or array, nested entries indented below it."""
    entries = tree.get("fields") or [["-", item] for item in tree.get("items", ())]
    if not entries:
        yield f"{'  ' * depth}{leaf(tree)}"
    for name, value in entries:
        if value.get("fields") or value.get("items"):
            yield f"{'  ' * depth}{name}"
            yield from _lines(value, depth + 1)
        else:
            yield f"{'  ' * depth}{name}  {leaf(value)}"


def leaf(tree: Mapping[str, JSON]) -> str:
    """Return a value if it may be shown, otherwise its type, length and digest."""
    if "value" in tree:
        return json.dumps(tree["value"], ensure_ascii=False)
    length = f" of {tree['length']}" if "length" in tree else ""
    digest = f" {tree['digest']}" if "digest" in tree else ""
    return f"{tree['type']}{length}{digest}"


def _differences(sample: Sample) -> Table:
    table = _table("differs in", "kind", "severity", "legacy", "native", "")
    for one in sample.differences:
        remarks = [word for word, said in (("declared", one.declared), ("noise", one.noise)) if said]
        spots = (_spot(one.legacy), _spot(one.native))
        style = "yellow" if remarks else _RED
        table.add_row(Text(_path(one), style=style), one.kind, one.severity, *spots, ", ".join(remarks))
    return table


def _path(difference: StoredDifference) -> str:
    spot = difference.legacy or difference.native
    return spot.path if spot else difference.field


def _spot(spot: StoredValue | None) -> Text:
    return Text("-" if spot is None else leaf(spot.value))


def _answers(sample: Sample) -> Table:
    """Return both answers with a row for each field, as the sample's page has them."""
    table = Table(box=box.SIMPLE, show_header=True, header_style="bold", pad_edge=False)
    table.add_column("field", overflow="fold")
    for backend, answer in (("legacy", sample.legacy), ("native", sample.native)):
        status = str(answer.status) if answer.status else answer.outcome
        table.add_column(f"{backend}: {status}, {answer.total:.0f} ms", ratio=1, overflow="fold")
    for row in rows(sample):
        table.add_row(_step(row), _cell(row.legacy), _cell(row.native))
    return table


def _step(row: SideBySideRow) -> Text:
    """Return the name of a row, indented below that of the row that contains it."""
    other = f" → {row.other_name}" if row.other_name else ""
    text = Text(f"{'  ' * row.depth}{row.name}{other}", style=_RED if row.reordered and row.relation else "")
    return text.append(_RELATIONS[row.relation], style="yellow")


def _cell(cell: Cell) -> Text:
    if cell.value is None:
        return Text("-", style=_DIM)
    text = Text(leaf(cell.value), style=_MARK_STYLES[cell.mark])
    return text.append(f"  ({cell.kind})") if cell.mark else text


def _table(*headings: str) -> Table:
    """Return a table; headings that end in `-` are number columns."""
    table = Table(box=box.SIMPLE, header_style="bold", pad_edge=False)
    for heading in headings:
        name = escape(heading.removesuffix("-"))
        right = heading.endswith("-")
        table.add_column(name, justify="right" if right else "left", no_wrap=right, overflow="fold")
    return table


def _number(number: int, style: str = "") -> Text:
    return Text(f"{number:,}" if number else "", style=style)
