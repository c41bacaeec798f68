"""`scribe-proxy check`: all problems of a routing.yaml, for people, editors and CI."""

from __future__ import annotations

import os
from pathlib import Path

import click

from proxy.cli.config_file import ROUTING_FILE
from proxy.config.loading import load
from proxy.config.models import Config
from proxy.config.problems import ConfigError
from proxy.contract.bundle import load_bundle
from proxy.contract.faults import ContractError


@click.command()
@click.argument("files", metavar="[FILE]...", nargs=-1, type=ROUTING_FILE)
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@click.option(
    "--contracts",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Directory of openapi.yaml and divergences.yaml; default the key `contracts` of the file.",
)
def check(files: tuple[Path, ...], *, strict: bool, directory: Path | None) -> None:
    """Validate a routing.yaml and the contracts that it names.

    Prints each problem as `file:line: where: message` and exits with 1. Warnings, marked `(note)`, are for valid
    settings with an unexpected effect. References like ${NAME} are resolved from this shell's environment.
    """
    chosen = files or (Path("routing.yaml"),)
    configs = {file: _loaded(file) for file in chosen}
    named = {
        directory or file.parent / (config.contracts if config else "contracts") for file, config in configs.items()
    }
    unsound = [each for each in sorted(named) if each.is_dir() and not _agreed(each)]
    if unsound or not all(config and not (strict and config.notes) for config in configs.values()):
        raise click.exceptions.Exit(1)


def _loaded(file: Path) -> Config | None:
    """Return the configuration of a valid file, and print its problems or notes."""
    try:
        config = load(file, os.environ)
    except ConfigError as error:
        click.echo(str(error))
        click.echo(f"{file}: {_counted(len(error.problems), 'problem')}", err=True)
        return None
    for warning in config.notes:
        click.echo(f"{warning.located(str(file))} (note)")
    click.echo(_summary(file, config))
    return config


def _agreed(directory: Path) -> bool:
    """Return True if a directory's contract and divergences are valid, and print their problems."""
    try:
        agreement = load_bundle(directory)
    except ContractError as error:
        click.echo(str(error))
        click.echo(f"{directory}: {_counted(len(error.faults), 'problem')}", err=True)
        return False
    if agreement.contract is not None:
        operations = _counted(len(agreement.contract.operations), "operation")
        declared = _counted(len(agreement.divergences), "divergence")
        click.echo(f"{directory / 'openapi.yaml'}: sound, {operations}, {declared}")
    return True


def _summary(file: Path, config: Config) -> str:
    moved = sum(1 for route in config.routes if route.share)
    counts = f"{_counted(len(config.routes), 'route')}, {moved} with a native share"
    return f"{file}: sound, {counts}, revision {config.revision}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
