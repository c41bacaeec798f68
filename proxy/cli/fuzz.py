"""`scribe-proxy fuzz`: send random sequences of requests to two backends, and record the differences."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from proxy.cli.option_group import option_group
from proxy.cli.shared_options import hang_after_option, strict_option
from proxy.cli.unusable import Unusable
from proxy.fuzz.options import FuzzBackend, FuzzOptions
from proxy.fuzz.safety import ForeignHostError, refuse_foreign
from proxy.wording import counted

if TYPE_CHECKING:
    from proxy.fuzz.search import Finding, Search

Backends = tuple[FuzzBackend, FuzzBackend]
"""Legacy and native."""
_PACKAGES: Final = ("schemathesis", "hypothesis")


def _backends_of(
    legacy: str,
    native: str,
    mongodb_url: str | None,
    legacy_database: str | None,
    native_database: str | None,
    legacy_calls_url: str | None,
    native_calls_url: str | None,
    hosts: tuple[str, ...],
    owned: bool,
) -> Backends:
    _refuse_incomplete_databases(mongodb_url, legacy_database, native_database)
    backends = (
        FuzzBackend(legacy, mongodb_url, legacy_database, legacy_calls_url),
        FuzzBackend(native, mongodb_url, native_database, native_calls_url),
    )
    try:
        refuse_foreign([url for backend in backends for url in backend.urls], hosts, owned=owned)
    except ForeignHostError as error:
        raise click.UsageError(str(error)) from error
    return backends


def _refuse_incomplete_databases(url: str | None, legacy: str | None, native: str | None) -> None:
    given = [value is not None for value in (url, legacy, native)]
    if any(given) and not all(given):
        raise click.UsageError("--mongodb-url, --legacy-database and --native-database belong together")
    if url is not None and legacy == native:
        raise click.UsageError("each backend needs a database of its own: both are emptied before every sequence")


def _search_of(
    contracts: Path,
    recordings: Path | None,
    divergences: tuple[Path, ...],
    plugin: str | None,
    minutes: float,
    seed: int | None,
    hang_after: float,
    max_findings: int,
    max_sequences: int | None,
    strict: bool,
) -> FuzzOptions:
    first_seed = int(time.time()) if seed is None else seed
    return FuzzOptions(
        contracts,
        minutes * 60,
        first_seed,
        hang_after,
        max_findings,
        max_sequences,
        recordings,
        plugin,
        divergences,
        strict,
    )


_backends: Final = option_group(
    "backends",
    _backends_of,
    click.option("--legacy", required=True, metavar="URL", help="The legacy backend, whose answers are right."),
    click.option("--native", required=True, metavar="URL", help="The native backend, which is compared with it."),
    click.option("--mongodb-url", metavar="URL", help="The MongoDB of both backends, whose databases are EMPTIED."),
    click.option("--legacy-database", metavar="NAME", help="The legacy's database."),
    click.option("--native-database", metavar="NAME", help="The native app's database."),
    click.option("--legacy-calls-url", metavar="URL", help="The legacy's outside calls; DELETE clears them."),
    click.option("--native-calls-url", metavar="URL", help="The native app's outside calls."),
    click.option("--host", "hosts", multiple=True, metavar="NAME", help="A test host to use; may be repeated."),
    click.option(
        "--i-own-this-host", "owned", is_flag=True, help="Allow any host, which must be your own test system."
    ),
)

_search: Final = option_group(
    "options",
    _search_of,
    click.option(
        "--contracts",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        default=Path("contracts"),
        show_default=True,
        help="Directory of openapi.yaml and, if there are any, divergences.yaml and recordings/.",
    ),
    click.option(
        "--recordings",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="Recordings to learn from, if not those of the contracts.",
    ),
    click.option(
        "--divergences",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        multiple=True,
        metavar="FILE",
        help="Declared differences besides those of the contracts; may be repeated.",
    ),
    click.option(
        "--plugin", metavar="MODULE", help="Python module or file with the service's own strategies and hooks."
    ),
    click.option(
        "--minutes",
        type=click.FloatRange(min=0.01),
        default=1.0,
        show_default=True,
        metavar="N",
        help="Duration of the search.",
    ),
    click.option(
        "--seed", type=click.IntRange(min=0), metavar="S", help="Seed, to repeat a run; the default is the time."
    ),
    hang_after_option(1.5),
    click.option(
        "--max-findings",
        type=click.IntRange(min=1),
        default=20,
        show_default=True,
        help="Stop after this number of findings.",
    ),
    click.option(
        "--max-sequences", type=click.IntRange(min=1), metavar="N", help="Stop after this number of sequences as well."
    ),
    strict_option(),
)


@click.command()
@_backends
@_search
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("fuzz-findings"),
    show_default=True,
    help="Directory for the recordings of findings.",
)
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write JUnit XML.")
def fuzz(backends: Backends, options: FuzzOptions, into: Path, junit: Path | None) -> None:
    """Search for differences between two backends with random requests.

    Requests come from the contract (valid, mutated, and along its links), from recordings, and from a plug-in.
    Undeclared differences are shrunk, grouped by kind and written as recordings, which `verify` plays.

    Exits with 0 without undeclared differences, 1 with some, 2 if the backends cannot be compared.
    """
    _refuse_missing_packages()
    click.echo(f"seed {options.seed}; findings go to {into}")
    raise SystemExit(_run(backends, options, into, junit))


def _run(backends: Backends, options: FuzzOptions, into: Path, junit: Path | None) -> int:
    from proxy.contract.divergences import DivergenceError
    from proxy.contract.faults import ContractError
    from proxy.fuzz.junit import as_junit
    from proxy.fuzz.plugin import PluginError
    from proxy.fuzz.run import open_search
    from proxy.recordings.model import RecordingError
    from proxy.recordings.service_client import ServiceUnreachable
    from proxy.recordings.side_effects import SideEffectsError

    unusable = (ContractError, DivergenceError, PluginError, RecordingError, ServiceUnreachable, SideEffectsError)
    begun = time.monotonic()
    try:
        with (
            _progress(options) as on_execution,
            open_search(*backends, options, on_execution, partial(_show_finding, into)) as search,
        ):
            try:
                search.run(options.seed, options.max_findings)
            except KeyboardInterrupt:
                click.echo("interrupted", err=True)
    except unusable as error:
        raise Unusable(str(error)) from error
    seconds = time.monotonic() - begun
    _summarize(search, seconds)
    if junit:
        junit.write_bytes(as_junit(search.coverage.rows(search.contract), search.findings, seconds))
    return 1 if search.findings else 0


@contextmanager
def _progress(options: FuzzOptions) -> Iterator[Callable[[Search], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    begun = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("fuzz", total=options.seconds)

        def show(search: Search) -> None:
            counts = search.counts
            summary = f"{counted(counts.requests, 'request')}, {counted(len(search.findings), 'finding')}"
            progress.update(task, description=summary, completed=time.monotonic() - begun)

        yield show


def _show_finding(into: Path, search: Search, finding: Finding) -> None:
    """Write a finding as a recording and print it."""
    from proxy.fuzz.differential import write_execution

    number = len(search.findings)
    directory = write_execution(finding.execution, into / f"{number:03d}")
    kinds = "".join(f"   {kind}\n" for kind in sorted(finding.kinds))
    account = finding.execution.describe().encode(errors="backslashreplace").decode()
    click.echo(f"\n{number}. {directory}\n{kinds}{account}")


def _summarize(search: Search, seconds: float) -> None:
    """Print the coverage and one line of totals."""
    from proxy.cli.console import console
    from proxy.cli.coverage_table import coverage_table, summarize_coverage

    rows = search.coverage.rows(search.contract)
    console().print(coverage_table(rows))
    counts = search.counts
    declared = f" of {counted(len(counts.declared), 'kind')}" if counts.declared else ""
    click.echo(
        f"\n{summarize_coverage(rows)}\n"
        f"{counts.requests} requests in {counts.executions - counts.conversations} sequences,"
        f" {counts.conversations} conversations, {seconds:.0f} s"
        f" ({counts.requests / max(seconds, 0.001) * 60:.0f} a minute):"
        f" {counts.verdicts['equal']} equal, {counts.verdicts['declared']} declared{declared},"
        f" {len(search.findings)} undeclared; {counts.unconfirmed} not confirmed, {counts.refused} sequences refused"
    )


def _refuse_missing_packages() -> None:
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise click.ClickException(f"fuzz needs {', '.join(missing)}: pip install 'scribe-proxy[fuzz]'")
