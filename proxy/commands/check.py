"""`scribe-proxy check`: every problem of a routing.yaml at once, for people, editors and CI."""

from __future__ import annotations

import os
from pathlib import Path

import click

from proxy.commands.files import ROUTING_FILE
from proxy.config import Config, ConfigError, load


@click.command()
@click.argument("files", metavar="[FILE]...", nargs=-1, type=ROUTING_FILE)
@click.option("--strict", is_flag=True, help="Let notes fail too.")
def check(files: tuple[Path, ...], *, strict: bool) -> None:
    """Say everything that is wrong with a routing.yaml.

    Each problem is a line `file:line: where: message`, and the exit code is then 1. Notes are for what is sound but
    may surprise. References like ${NAME} are filled in from this shell's environment.
    """
    faulty = [file for file in files or (Path("routing.yaml"),) if not _sound(file, strict=strict)]
    if faulty:
        raise click.exceptions.Exit(1)


def _sound(file: Path, *, strict: bool) -> bool:
    try:
        config = load(file, os.environ)
    except ConfigError as error:
        click.echo(str(error))
        click.echo(f"{file}: {_counted(len(error.problems), 'problem')}", err=True)
        return False
    for note in config.notes:
        click.echo(f"{note.located(str(file))} (note)")
    click.echo(_summary(file, config))
    return not (strict and config.notes)


def _summary(file: Path, config: Config) -> str:
    moved = sum(1 for route in config.routes if route.share)
    counts = f"{_counted(len(config.routes), 'route')}, {moved} with a native share"
    return f"{file}: sound, {counts}, revision {config.revision}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
