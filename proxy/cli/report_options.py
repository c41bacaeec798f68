"""Options of `scribe-proxy report`: the selection, and the output format."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast, get_args

import click

from proxy.cli.completion import complete_routes
from proxy.cli.option_group import option_group
from proxy.cli.param_types import ShareParam, TimeParam
from proxy.cli.shared_options import since_option
from proxy.comparison.verdicts import Name
from proxy.reports.gate import Gate
from proxy.reports.models import FieldKind, Span
from proxy.reports.query import NEWEST, ReportQuery
from proxy.types import BasisPoints, DifferenceKind

_DEFAULT_MISMATCH = BasisPoints(10)


@dataclass(frozen=True, slots=True)
class Output:
    """Output format and CI gate. `form` and `login`: the values of `--as` and `--after`."""

    form: str | None
    login: str | None
    suggest: bool
    as_json: bool
    as_csv: bool
    junit: Path | None
    gate: Gate | None


def _query(
    since: float,
    until: float | None,
    route: str | None,
    field: str | None,
    kind: str | None,
    revision: str | None,
    verdict: str | None,
    sample: str | None,
) -> ReportQuery:
    span = Span(since, time.time() + 1 if until is None else until)
    if span.until <= span.since:
        raise click.UsageError("--until must be after --since")
    return ReportQuery(
        span, route, field, cast("FieldKind | None", kind), cast("Name | None", verdict), sample, revision
    )


def _output(
    form: str | None,
    login: str | None,
    suggest: bool,
    as_json: bool,
    as_csv: bool,
    junit: Path | None,
    max_mismatch: BasisPoints | None,
    min_compared: int,
) -> Output:
    if as_json and as_csv:
        raise click.UsageError("--json or --csv, not both")
    if max_mismatch is None and junit is not None:
        max_mismatch = _DEFAULT_MISMATCH
    gate = Gate(max_mismatch, min_compared) if max_mismatch is not None or min_compared else None
    return Output(form, login, suggest, as_json, as_csv, junit, gate)


query_options: Final = option_group(
    "query",
    _query,
    since_option("24h", "Beginning of the period: 2h, 7d, or a time."),
    click.option("--until", type=TimeParam(), metavar="TIME", help="End of the period; default now."),
    click.option(
        "--route", metavar="NAME", shell_complete=complete_routes, help="One route, with its fields and samples."
    ),
    click.option("--field", metavar="PATH", help="One field, as in body.notes.*.title."),
    click.option("--kind", type=click.Choice([*get_args(DifferenceKind), "violation"]), help="One kind of difference."),
    click.option(
        "--revision", metavar="REVISION", help="One revision of native; BEFORE..AFTER compares two (with --route)."
    ),
    click.option("--verdict", type=click.Choice(get_args(Name)), help="One verdict."),
    click.option(
        "--sample",
        metavar="[ID]",
        is_flag=False,
        flag_value=NEWEST,
        help="Both answers of a sample side by side, redacted; without an ID, of the newest.",
    ),
)
"""Adds the options that select reports, and passes them as `query`."""

output_options: Final = option_group(
    "output",
    _output,
    click.option(
        "--as",
        "form",
        type=click.Choice(["recording", "curl"]),
        help="With --sample: its request with anonymised values, for `record` and `verify` or for a shell.",
    ),
    click.option("--after", "login", metavar="SCENARIO", help="With --as recording: log in by this scenario before."),
    click.option(
        "--suggest", is_flag=True, help="Print rules that could be declared, with the evidence. Changes nothing."
    ),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    click.option("--csv", "as_csv", is_flag=True, help="Print routes, or one route's fields, as CSV."),
    click.option(
        "--junit",
        type=click.Path(path_type=Path, dir_okay=False, writable=True),
        metavar="FILE",
        help="Write JUnit XML with a test case for each route; --max-mismatch is then 0.1% by default.",
    ),
    click.option(
        "--max-mismatch",
        type=ShareParam(),
        metavar="SHARE",
        help="Exit with 1 if a larger share of a route's comparisons differs.",
    ),
    click.option(
        "--min-compared",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help="Exit with 1 if fewer requests of a shadowed route were compared, also if it has no report.",
    ),
)
"""Adds the options of output and gate, and passes them as `output`."""
