"""`scribe-proxy check`: report all problems of a routing.yaml, for people, editors and CI."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import click

from proxy.cli.diagnostics import Diagnostic, Format, github_of, json_of, text_of
from proxy.cli.import_strings import import_problem
from proxy.cli.shared_options import ROUTING_FILE
from proxy.config.loading import load
from proxy.config.models import Config
from proxy.config.problems import ConfigError, Problem
from proxy.runtime.garbage import without_collection
from proxy.wording import counted

_NATIVE: Final = re.compile(r"native: *")


@click.command()
@click.argument("files", metavar="[FILE]...", nargs=-1, type=ROUTING_FILE)
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@click.option(
    "--contracts",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Directory of openapi.yaml and divergences.yaml; default the key `contracts` of the file.",
)
@click.option("--json", "output", flag_value="json", type=str, help="Print a JSON list of problems and warnings.")
@click.option("--github", "output", flag_value="github", type=str, help="Print annotations for GitHub workflows.")
def check(files: tuple[Path, ...], *, strict: bool, directory: Path | None, output: Format | None) -> None:
    """Validate a routing.yaml and the contracts that it names.

    Prints each problem as `file:line:column: where: message` with the line of the file, and exits with 1. Warnings,
    marked `(warning)`, are for valid settings with an unexpected effect. References like ${NAME} are resolved from this
    shell's environment.

    \b
    Examples:
      scribe-proxy check
      scribe-proxy check --strict staging.yaml production.yaml
      scribe-proxy check --github        # in a workflow
    """
    checked = Checked(directory)
    with without_collection():
        for file in files or (Path("routing.yaml"),):
            checked.add(file)
        checked.add_contracts()
    if output == "json":
        click.echo(json_of(checked.diagnostics))
    elif output == "github":
        click.echo("".join(f"{line}\n" for line in github_of(checked.diagnostics)), nl=False)
    else:
        checked.print()
    if any(each.severity == "error" or strict for each in checked.diagnostics):
        raise click.exceptions.Exit(1)


class Checked:
    """The diagnostics of the checked files, and a summary of each valid one."""

    def __init__(self, directory: Path | None) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._directory = directory
        self._summaries: dict[str, str] = {}
        self._contracts: set[Path] = set()

    def add(self, file: Path) -> None:
        """Check a routing.yaml."""
        try:
            config = load(file, os.environ)
        except ConfigError as error:
            self.diagnostics += [Diagnostic(str(file), problem) for problem in error.problems]
            self._contracts.add(self._directory or file.parent / "contracts")
            return
        self.diagnostics += [Diagnostic(str(file), warning, "warning") for warning in config.notes]
        if config.native is not None and (problem := import_problem(config.native)) is not None:
            line, column = _position_of_native(file)
            problem_here = Problem(line, "native", f"cannot be imported here: {problem}", column=column)
            self.diagnostics.append(Diagnostic(str(file), problem_here, "warning"))
        self._summaries[str(file)] = _summary(file, config)
        self._contracts.add(self._directory or file.parent / config.contracts)

    def add_contracts(self) -> None:
        """Check the contracts that the files name."""
        from proxy.contract.bundle import load_bundle  # a slow import: the checks of JSON Schema
        from proxy.contract.faults import ContractError

        for directory in sorted(each for each in self._contracts if each.is_dir()):
            try:
                bundle = load_bundle(directory)
            except ContractError as error:
                self.diagnostics += [Diagnostic(str(fault.file), fault.problem) for fault in error.faults]
                continue
            if bundle.contract is not None:
                operations = counted(len(bundle.contract.operations), "operation")
                declared = counted(len(bundle.divergences), "divergence")
                openapi = str(directory / "openapi.yaml")
                self._summaries[openapi] = f"{openapi}: valid, {operations}, {declared}"

    def print(self) -> None:
        """Print diagnostics and summaries, and the number of problems of each file on standard error."""
        for line in text_of(self.diagnostics):
            click.echo(line)
        for summary in self._summaries.values():
            click.echo(summary)
        errors = [each.file for each in self.diagnostics if each.severity == "error"]
        for file in dict.fromkeys(errors):
            click.echo(f"{file}: {counted(errors.count(file), 'problem')}", err=True)


def _position_of_native(file: Path) -> tuple[int, int]:
    """Return the line and the column of the value of `native`; zeros if the key is not at the start of a line."""
    lines = enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1)
    matches = ((number, _NATIVE.match(line)) for number, line in lines)
    return next(((number, match.end() + 1) for number, match in matches if match), (0, 0))


def _summary(file: Path, config: Config) -> str:
    moved = sum(1 for route in config.routes if route.share)
    counts = f"{counted(len(config.routes), 'route')}, {moved} with a native share"
    return f"{file}: valid, {counts}, revision {config.revision}"
