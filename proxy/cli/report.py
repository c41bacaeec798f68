"""`scribe-proxy report`: show the results of comparing live traffic, for people, programs and CI."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from proxy.cli import report_tables as tables
from proxy.cli.console import console
from proxy.cli.database_options import DatabaseOptions, DatabaseTarget, database_options
from proxy.cli.database_options import run_query as run_on_database
from proxy.cli.report_options import Output, output_options, query_options
from proxy.cli.report_triage import triage
from proxy.cli.unusable import UNUSABLE
from proxy.contract.bundle import ContractBundle, load_bundle
from proxy.contract.faults import ContractError
from proxy.contract.tree import Tree, read_tree
from proxy.database.database import Database
from proxy.reports.exports import as_json, fields_csv, junit, routes_csv
from proxy.reports.gate import Gate, evaluate, with_states
from proxy.reports.models import RouteSummary, Span
from proxy.reports.query import NEWEST, QueryResult, ReportQuery, run_query, suggestions, warnings
from proxy.reports.reader import ReportReader
from proxy.reports.reproduction import NotReproducible, curl, find_login, scenario
from proxy.reports.revisions import ReleaseComparison, compare_releases
from proxy.reports.suggestions import Suggestion
from proxy.reports.summaries import total
from proxy.reports.triage import by_attention
from proxy.wording import counted, did_you_mean

_SHOWN = 20


@click.group(invoke_without_command=True)
@click.pass_context
@database_options
@click.option(
    "--contracts",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Directory of openapi.yaml and divergences.yaml; else the one of FILE.",
)
@query_options
@output_options
def report(
    ctx: click.Context, database: DatabaseOptions, directory: Path | None, query: ReportQuery, output: Output
) -> None:
    """Report where native and legacy differ in live traffic.

    --max-mismatch, --min-compared and --junit make it a gate: it then exits with 1 if a route fails or a fixed
    difference has returned, and with 2 if nothing was compared. It always exits with 2 if MongoDB cannot be reached.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_options(ctx, ctx.invoked_subcommand)
        return
    if output.form is not None and query.sample is None:
        raise click.UsageError("--as needs --sample")
    target = database.resolve()
    if query.revision is not None and ".." in query.revision:
        _print_releases(target, query.span, query.route, query.revision)
    else:
        _report(target, directory or target.contracts, query, output)


def _refuse_options(ctx: click.Context, subcommand: str) -> None:
    """Raise UsageError for options before the name of a subcommand, which has its own options."""
    for parameter in ctx.command.params:
        if parameter.name and ctx.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} has no effect here: write it after {subcommand}")


def _report(target: DatabaseTarget, contracts: Path, query: ReportQuery, output: Output) -> None:
    bundle, tree = _load_contracts(contracts)

    async def read(database: Database) -> tuple[QueryResult, list[Suggestion]]:
        reader = ReportReader(database)
        result = await run_query(reader, query, bundle)
        given = result.fields if output.suggest else ()
        return result, await suggestions(reader, query, given, bundle, tree, _release())

    result, suggested = run_on_database(target, read)
    _refuse_unknown(query, result, target.routes)
    if output.form is not None:
        _print_reproduction(result, output.form, output.login, contracts)
        return
    _print(query, result, suggested, bundle, output)
    if output.gate is not None:
        _apply_gate(output.gate, result, _required(target, query.route), output.junit, target.ops_url)


def _load_contracts(directory: Path) -> tuple[ContractBundle, Tree | None]:
    """Load the contract, and its YAML tree for line numbers."""
    file = directory / "openapi.yaml"
    try:
        return load_bundle(directory), read_tree(file) if file.exists() else None
    except ContractError as error:
        more = f" (and {len(error.faults) - 1} more)" if len(error.faults) > 1 else ""
        click.echo(f"{directory} is ignored, as `scribe-proxy check` refuses it: {error.faults[0]}{more}", err=True)
        return ContractBundle(), None


def _refuse_unknown(query: ReportQuery, result: QueryResult, routes: Sequence[str]) -> None:
    if query.route is not None and query.route not in result.all_routes:
        if query.route in routes:
            raise click.UsageError(f"no report of {query.route} in this time")
        raise click.UsageError(_unknown("route", query.route, [*result.all_routes, *routes]))
    if query.field is not None and query.field not in result.all_fields:
        raise click.UsageError(_unknown("field", query.field, result.all_fields))
    if result.sample_instead is not None:
        click.echo(f"sample {result.sample_instead} was removed; this is the newest of the same difference", err=True)
    if query.sample not in (None, NEWEST) and result.sample is None:
        raise click.UsageError(f"there is no sample {query.sample}, and no newer one of its difference")


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    return f"no {what} {name} has a report in this time{did_you_mean(name, known)}"


def _print(
    query: ReportQuery, result: QueryResult, suggested: list[Suggestion], bundle: ContractBundle, output: Output
) -> None:
    for warning in warnings(result, bundle):
        click.echo(f"! {warning}", err=True)
    if output.as_json:
        click.echo(json.dumps(_json(query, result, suggested, output), indent=2, ensure_ascii=False))
    elif output.as_csv:
        click.echo(fields_csv(result.fields) if query.route else routes_csv(result.routes), nl=False)
    elif output.suggest:
        for one in suggested:
            console().print(tables.suggestion_account(one), soft_wrap=True)
        click.echo(f"{counted(len(suggested), 'suggestion')}; nothing was changed")
    elif query.sample is not None:
        _print_sample(result)
    else:
        _print_tables(query, result)


def _print_sample(result: QueryResult) -> None:
    if result.sample is None:
        click.echo("there is no such sample")
    else:
        console().print(tables.sample_account(result.sample))


def _print_tables(query: ReportQuery, result: QueryResult) -> None:
    out, span = console(), query.span
    between = f"{tables.moment(span.since)} to {tables.moment(span.until)}"
    if not result.routes:
        oldest = result.health.oldest
        known = f"the oldest report is of {tables.moment(oldest)}" if oldest else "there are no reports at all"
        click.echo(f"no reports, {between}; {known}")
        return
    fields = result.fields if query.route or query.verdict else [one for one in result.fields if one.unexplained]
    out.print(tables.route_table(result.routes))
    listed = with_states(fields, result.differences)
    if listed:
        out.print(tables.field_table(listed[:_SHOWN] if query.route is None else listed, routed=not query.route))
    drift = [one for one in result.drift if query.route or one.backend == "legacy"]  # native's differ, too
    if drift:
        out.print(tables.drift_table(drift[:_SHOWN]))
    if query.route is not None and result.samples:
        out.print(tables.sample_table(result.samples[:_SHOWN]))
    out.print(_summary(result.selected, between), soft_wrap=True, highlight=False)
    if attention := _attention(result):
        out.print(attention, soft_wrap=True, highlight=False)


def _summary(routes: Sequence[RouteSummary], between: str) -> str:
    compared = sum(route.compared for route in routes)
    where = f"{counted(compared, 'comparison', ',')} on {counted(len(routes), 'route', ',')}"
    return f"{total(routes).failures} in {where}, {between}"


def _json(
    query: ReportQuery, result: QueryResult, suggested: list[Suggestion], output: Output
) -> dict[str, Any] | list[dict[str, Any]] | None:
    if output.suggest:
        return [as_json(one) for one in suggested]
    if query.sample is not None:
        return as_json(result.sample) if result.sample else None
    listed = ("routes", "fields", "drift", "divergences", *(["samples"] if query.route else []))
    return {
        "since": query.span.since,
        "until": query.span.until,
        **{name: [as_json(one) for one in getattr(result, name)] for name in listed},
        "differences": [
            {"id": one.id, "route": one.route, "field": one.field, "kind": one.kind, "state": one.state}
            for one in by_attention(result.differences.values())
        ],
        "health": as_json(result.health),
    }


def _attention(result: QueryResult) -> str:
    """Return a text with the numbers of new and returned differences; empty without any."""
    counts = Counter(one.state for one in result.differences.values())
    parts = [f"{counts[state]:,} {state}" for state in ("returned", "new") if counts[state]]
    return f"differences: {', '.join(parts)} (scribe-proxy report triage)" if parts else ""


def _required(target: DatabaseTarget, route: str | None) -> tuple[str, ...]:
    """Return the shadowed routes of routing.yaml that the query includes."""
    return tuple(name for name in target.shadowed if route in (None, name))


def _apply_gate(
    gate: Gate, result: QueryResult, required: tuple[str, ...], junit_file: Path | None, ops_url: str
) -> None:
    """Write the JUnit file, and raise Exit if the gate fails. `required` are routes that must have been compared."""
    results = evaluate(gate, result.selected, result.fields, result.differences, required)
    if junit_file is not None:
        junit_file.write_text(junit(results, ops_url), encoding="utf-8")
    failed = any(one.reasons for one in results)
    if not any(one.compared for one in results) and not (gate.min_compared and failed):
        click.echo("nothing was compared, so the mismatch is unknown", err=True)
        raise click.exceptions.Exit(UNUSABLE)
    for one in results:
        for reason in one.reasons:
            click.echo(f"{one.route}: {reason}", err=True)
    if failed:
        raise click.exceptions.Exit(1)


def _print_reproduction(result: QueryResult, form: str, login: str | None, contracts: Path) -> None:
    """Print the request of a sample as a recording or as a curl command."""
    if result.sample is None:
        raise click.UsageError("there is no such sample")
    try:
        if form == "curl":
            click.echo(curl(result.sample))
            return
        recordings = contracts / "recordings" / "http.json"
        steps = find_login(recordings.read_text(encoding="utf-8"), login) if login is not None else ()
        click.echo(json.dumps([scenario(result.sample, steps)], indent=1, ensure_ascii=False))
    except (NotReproducible, OSError) as error:
        raise click.ClickException(str(error)) from None


def _print_releases(target: DatabaseTarget, span: Span, route: str | None, revisions: str) -> None:
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

    console().print(tables.releases_table(run_on_database(target, read)))


report.add_command(triage)


def _release() -> str:
    try:
        return version("scribe-proxy")
    except PackageNotFoundError:
        return "0"
