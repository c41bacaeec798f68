"""`scribe-proxy report`: the results of comparing live traffic, for people, machines and CI."""

from __future__ import annotations

import difflib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast, get_args

import click

from proxy.cli import database_options
from proxy.cli import report_tables as tables
from proxy.cli.completion import complete_routes
from proxy.cli.console import console
from proxy.cli.database_options import DatabaseTarget
from proxy.cli.param_types import ShareParam, TimeParam
from proxy.cli.report_triage import triage
from proxy.comparison.verdicts import Name
from proxy.contract.bundle import ContractBundle, load_bundle
from proxy.contract.faults import ContractError
from proxy.contract.tree import Tree, read_tree
from proxy.reports.exports import as_json, fields_csv, junit, routes_csv
from proxy.reports.gate import Gate, evaluate, with_states
from proxy.reports.models import FieldKind, RouteSummary, Span
from proxy.reports.query import NEWEST, QueryResult, ReportQuery, run_query, suggestions, warnings
from proxy.reports.reader import ReportReader
from proxy.reports.reproduction import NotReproducible, curl, find_login, scenario
from proxy.reports.revisions import ReleaseComparison, compare_releases
from proxy.reports.suggestions import Suggestion
from proxy.reports.summaries import total
from proxy.reports.triage import by_attention
from proxy.runtime.database import Database
from proxy.types import BasisPoints, DifferenceKind

_SHOWN = 20
_DEFAULT_MISMATCH = BasisPoints(10)


@dataclass(frozen=True)
class Output:
    """Output format and CI gate; `required` are the routes that must have been compared."""

    as_json: bool
    as_csv: bool
    suggest: bool
    junit: Path | None
    gate: Gate | None
    required: tuple[str, ...]
    ops_url: str


@click.group(invoke_without_command=True)
@click.pass_context
@database_options.options
@click.option(
    "--contracts",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Directory of openapi.yaml and divergences.yaml; else what FILE names.",
)
@click.option("--since", type=TimeParam(), default="24h", show_default=True, metavar="TIME", help="2h, 7d, or a time.")
@click.option("--until", type=TimeParam(), metavar="TIME", help="Default now.")
@click.option("--route", metavar="NAME", shell_complete=complete_routes, help="One route, with its fields and samples.")
@click.option("--field", metavar="PATH", help="One field, as in body.notes.*.title.")
@click.option("--kind", type=click.Choice([*get_args(DifferenceKind), "violation"]), help="One kind of difference.")
@click.option(
    "--revision", metavar="REVISION", help="One revision of native; BEFORE..AFTER compares two (with --route)."
)
@click.option("--verdict", type=click.Choice(get_args(Name)), help="One verdict.")
@click.option(
    "--sample",
    metavar="[ID]",
    is_flag=False,
    flag_value=NEWEST,
    help="Both answers side by side, redacted: the newest.",
)
@click.option(
    "--as",
    "form",
    type=click.Choice(["recording", "curl"]),
    help="With --sample: its request with anonymised values, for `record` and `verify` or for a shell.",
)
@click.option("--after", "login", metavar="SCENARIO", help="With --as recording: log in by this scenario before.")
@click.option("--suggest", is_flag=True, help="Print rules that could be declared, with the evidence. Changes nothing.")
@click.option("--json", "as_json_", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print routes, or one route's fields, as CSV.")
@click.option(
    "--junit",
    "junit_file",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    metavar="FILE",
    help="Write a test case a route for CI; with --max-mismatch 0.1% unless given.",
)
@click.option(
    "--max-mismatch", "most", type=ShareParam(), metavar="SHARE", help="Exit with 1 where more of a route differs."
)
@click.option(
    "--min-compared",
    "minimum",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Exit with 1 where fewer requests of a route were compared; routes without a report count as 0.",
)
def report(
    ctx: click.Context,
    mongodb_url: str | None,
    database: str | None,
    config_file: Path,
    directory: Path | None,
    since: float,
    until: float | None,
    route: str | None,
    field: str | None,
    kind: str | None,
    revision: str | None,
    verdict: str | None,
    sample: str | None,
    form: str | None,
    login: str | None,
    suggest: bool,
    as_json_: bool,
    as_csv: bool,
    junit_file: Path | None,
    most: BasisPoints | None,
    minimum: int,
) -> None:
    """Report where native and legacy differ in live traffic.

    Exits with 1 if more of a route's comparisons differ than --max-mismatch allows, fewer were made than --min-compared
    demands, or a difference that was fixed has returned; with 2 if MongoDB cannot be reached or nothing was compared.
    """
    if ctx.invoked_subcommand is not None:
        return
    span = Span(since, time.time() + 1 if until is None else until)
    if span.until <= span.since:
        raise click.UsageError("--until must be after --since")
    if form is not None and sample is None:
        raise click.UsageError("--as needs --sample")
    if as_json_ and as_csv:
        raise click.UsageError("--json or --csv, not both")
    question = ReportQuery(
        span, route, field, cast("FieldKind | None", kind), cast("Name | None", verdict), sample, revision
    )
    own = database_options.find(mongodb_url, database, config_file)
    if revision is not None and ".." in revision:
        _print_releases(own, span, route, revision)
        return
    gate = _gate_of(most, minimum, junit_file)
    output = Output(as_json_, as_csv, suggest, junit_file, gate, _required(own, route), own.ops_url)
    agreement, tree = _agreement(directory or own.contracts)

    async def read(database: Database) -> tuple[QueryResult, list[Suggestion]]:
        reading = ReportReader(database)
        findings = await run_query(reading, question, agreement)
        given = findings.fields if output.suggest else ()
        return findings, await suggestions(reading, question, given, agreement, tree, _release())

    findings, suggested = database_options.run_query(own, read)
    _refuse_unknown(question, findings, own.routes)
    if form is not None:
        _print_reproduction(findings, form, login, directory or own.contracts)
        return
    _print(question, findings, suggested, agreement, output)
    _gate(findings, output)


def _agreement(directory: Path) -> tuple[ContractBundle, Tree | None]:
    """Load the contract, and its YAML tree for line numbers."""
    file = directory / "openapi.yaml"
    try:
        return load_bundle(directory), read_tree(file) if file.exists() else None
    except ContractError as error:
        click.echo(f"{directory} is ignored: it has problems ({len(error.faults)})", err=True)
        return ContractBundle(), None


def _refuse_unknown(question: ReportQuery, findings: QueryResult, routes: Sequence[str]) -> None:
    if question.route is not None and question.route not in findings.all_routes:
        if question.route in routes:
            raise click.UsageError(f"no report of {question.route} in this time")
        raise click.UsageError(_unknown("route", question.route, [*findings.all_routes, *routes]))
    if question.field is not None and question.field not in findings.all_fields:
        raise click.UsageError(_unknown("field", question.field, findings.all_fields))
    if findings.sample_instead is not None:
        click.echo(f"sample {findings.sample_instead} was removed; this is the newest of the same difference", err=True)
    if question.sample not in (None, NEWEST) and findings.sample is None:
        raise click.UsageError(f"there is no sample {question.sample}, and no newer one of its difference")


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"no {what} {name} has a report in this time" + (f"; did you mean {close[0]}?" if close else "")


def _print(
    question: ReportQuery, findings: QueryResult, suggested: list[Suggestion], agreement: ContractBundle, output: Output
) -> None:
    for warning in warnings(findings, agreement):
        click.echo(f"! {warning}", err=True)
    if output.as_json:
        click.echo(json.dumps(_json(question, findings, suggested, output), indent=2, ensure_ascii=False))
    elif output.as_csv:
        click.echo(fields_csv(findings.fields) if question.route else routes_csv(findings.routes), nl=False)
    elif output.suggest:
        for one in suggested:
            console().print(tables.suggestion_account(one), soft_wrap=True)
        click.echo(f"{len(suggested)} suggestions; nothing was changed")
    elif question.sample is not None:
        _print_sample(findings)
    else:
        _print_tables(question, findings)


def _print_sample(findings: QueryResult) -> None:
    if findings.sample is None:
        click.echo("there is no sample of that")
    else:
        console().print(tables.sample_account(findings.sample))


def _print_tables(question: ReportQuery, findings: QueryResult) -> None:
    out, span = console(), question.span
    between = f"{tables.moment(span.since)} to {tables.moment(span.until)}"
    if not findings.routes:
        oldest = findings.health.oldest
        known = f"the oldest report is of {tables.moment(oldest)}" if oldest else "there are no reports at all"
        click.echo(f"no reports, {between}; {known}")
        return
    fields = (
        findings.fields if question.route or question.verdict else [one for one in findings.fields if one.unexplained]
    )
    out.print(tables.route_table(findings.routes))
    listed = with_states(fields, findings.differences)
    if listed:
        out.print(tables.field_table(listed[:_SHOWN] if question.route is None else listed, routed=not question.route))
    drift = [one for one in findings.drift if question.route or one.backend == "legacy"]  # native's differ, too
    if drift:
        out.print(tables.drift_table(drift[:_SHOWN]))
    if question.route is not None and findings.samples:
        out.print(tables.sample_table(findings.samples[:_SHOWN]))
    out.print(_summary(findings.selected, between), soft_wrap=True, highlight=False)
    if attention := _attention(findings):
        out.print(attention, soft_wrap=True, highlight=False)


def _summary(routes: Sequence[RouteSummary], between: str) -> str:
    compared = sum(route.compared for route in routes)
    counted = f"{len(routes):,} {'route' if len(routes) == 1 else 'routes'}"
    return f"{total(routes).failures} in {compared:,} comparisons on {counted}, {between}"


def _json(
    question: ReportQuery, findings: QueryResult, suggested: list[Suggestion], output: Output
) -> dict[str, Any] | list[dict[str, Any]] | None:
    if output.suggest:
        return [as_json(one) for one in suggested]
    if question.sample is not None:
        return as_json(findings.sample) if findings.sample else None
    listed = ("routes", "fields", "drift", "divergences", *(["samples"] if question.route else []))
    return {
        "since": question.span.since,
        "until": question.span.until,
        **{name: [as_json(one) for one in getattr(findings, name)] for name in listed},
        "differences": [
            {"id": one.id, "route": one.route, "field": one.field, "kind": one.kind, "state": one.state}
            for one in by_attention(findings.differences.values())
        ],
        "health": as_json(findings.health),
    }


def _attention(findings: QueryResult) -> str:
    """Return how many differences are new, and how many have returned; empty for none."""
    counts = Counter(one.state for one in findings.differences.values())
    parts = [f"{counts[state]:,} {state}" for state in ("returned", "new") if counts[state]]
    return f"differences: {', '.join(parts)} (scribe-proxy report triage)" if parts else ""


def _gate_of(most: BasisPoints | None, minimum: int, junit_file: Path | None) -> Gate | None:
    if most is None and junit_file is not None:
        most = _DEFAULT_MISMATCH
    return Gate(most, minimum) if most is not None or minimum else None


def _required(own: DatabaseTarget, route: str | None) -> tuple[str, ...]:
    """Return the shadowed routes of routing.yaml that the query includes."""
    return tuple(name for name in own.shadowed if route in (None, name))


def _gate(findings: QueryResult, output: Output) -> None:
    """Write the JUnit file and raise Exit if the gate fails."""
    if output.gate is None:
        return
    results = evaluate(output.gate, findings.selected, findings.fields, findings.differences, output.required)
    if output.junit is not None:
        output.junit.write_text(junit(results, output.ops_url), encoding="utf-8")
    if not output.gate.min_compared and not any(one.compared for one in results):
        click.echo("nothing was compared, so the mismatch is unknown", err=True)
        raise click.exceptions.Exit(database_options.UNUSABLE)
    for one in results:
        for reason in one.reasons:
            click.echo(f"{one.route}: {reason}", err=True)
    if any(one.reasons for one in results):
        raise click.exceptions.Exit(1)


def _print_reproduction(findings: QueryResult, form: str, login: str | None, contracts: Path) -> None:
    """Print the request of a sample as a recording or as a curl command."""
    if findings.sample is None:
        raise click.UsageError("there is no sample of that")
    try:
        if form == "curl":
            click.echo(curl(findings.sample))
            return
        recordings = contracts / "recordings" / "http.json"
        steps = find_login(recordings.read_text(encoding="utf-8"), login) if login is not None else ()
        click.echo(json.dumps([scenario(findings.sample, steps)], indent=1, ensure_ascii=False))
    except (NotReproducible, OSError) as error:
        raise click.ClickException(str(error)) from None


def _print_releases(own: DatabaseTarget, span: Span, route: str | None, revisions: str) -> None:
    """Print how the differences of a route changed from one revision of native to another."""
    if route is None:
        raise click.UsageError("BEFORE..AFTER needs --route")
    names = dict(zip(("before", "after"), revisions.split("..", 1), strict=True))

    async def read(database: Database) -> ReleaseComparison:
        reader = ReportReader(database)
        known = {one.revision: one for one in await reader.revisions(span, route)}
        for name in names.values():
            if name not in known:
                raise click.UsageError(_unknown("revision", name, [one for one in known if one is not None]))
        before, after = known[names["before"]], known[names["after"]]
        fields = [await reader.fields(span, route, one.revision) for one in (before, after)]
        return compare_releases(before, after, fields[0], fields[1])

    console().print(tables.releases_table(database_options.run_query(own, read)))


report.add_command(triage)


def _release() -> str:
    try:
        return version("scribe-proxy")
    except PackageNotFoundError:
        return "0"
