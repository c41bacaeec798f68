"""`scribe-proxy init`: draft a routing.yaml and a contract for a service, from OpenAPI or from recordings."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from proxy.config.draft import ServiceEndpoint, Unroutable, draft_routes, render
from proxy.config.models import read_import
from proxy.wording import counted

CONTRACT_NAME: Final = "openapi.yaml"


@dataclass(frozen=True)
class Source:
    """The endpoints of a service, the directory of its contract if it has one, and messages about omissions."""

    title: str
    endpoints: tuple[ServiceEndpoint, ...]
    contracts: Path | None
    messages: tuple[str, ...] = ()


def _valid_import(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    try:
        return read_import(value) if value else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _valid_url(context: click.Context, parameter: click.Parameter, value: str) -> str:
    parts = urlsplit(value)
    if (parts.scheme in ("http", "https") and parts.hostname) or (parts.scheme == "unix" and parts.path):
        return value
    raise click.BadParameter("must be an http, https or unix URL, as in http://127.0.0.1:4500")


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=Path("."))
@click.option("--legacy", required=True, metavar="URL", callback=_valid_url, help="The service behind the gateway.")
@click.option(
    "--openapi",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="An OpenAPI or Swagger file, YAML or JSON, of the service.",
)
@click.option(
    "--recordings",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Directory of http.json and ws.json, as `record` and `capture` write them.",
)
@click.option("--native", metavar="IMPORT", callback=_valid_import, help="The native ASGI app, as in app:app.")
@click.option("--force", is_flag=True, help="Replace existing files.")
def init(
    directory: Path, *, legacy: str, openapi: Path | None, recordings: Path | None, native: str | None, force: bool
) -> None:
    """Draft a routing.yaml and a contract for a service.

    Writes DIRECTORY/routing.yaml (default: the current directory), with every route at legacy. An OpenAPI 3.1 file
    becomes the contract: one named openapi.yaml in place, any other as a copy in DIRECTORY/contracts. From recordings
    the contract is inferred. Existing files stay unless --force is given.
    """
    if (openapi is None) == (recordings is None):
        raise click.UsageError("give either --openapi or --recordings")
    target = directory / "routing.yaml"
    if target.exists() and not force:
        raise click.UsageError(f"{target} exists; --force replaces it")
    directory.mkdir(parents=True, exist_ok=True)
    own = directory / "contracts"
    source = _from_openapi(openapi, own, force=force) if openapi else _from_recordings(recordings or Path(), own)
    routes, unroutable = draft_routes(source.endpoints)
    named = _relative(source.contracts, directory)
    target.write_text(render(routes, unroutable, legacy=legacy, title=source.title, native=native, contracts=named))
    click.echo(f"{target}: {counted(len(routes), 'route')}, all to {legacy}")
    for line in (*source.messages, *map(_message, unroutable)):
        click.echo(line, err=True)
    click.echo(f"Next: scribe-proxy check {target} && scribe-proxy serve --config {target}", err=True)


def _relative(contracts: Path | None, directory: Path) -> str | None:
    """Return the key `contracts` of the file; None if its default is right."""
    if contracts is None or contracts.resolve() == (directory / "contracts").resolve():
        return None
    return os.path.relpath(contracts, directory)


def _from_openapi(file: Path, own: Path, *, force: bool) -> Source:
    """Return the endpoints of an OpenAPI file, and make it the contract if it can be one."""
    from proxy.contract.outline import OutlineError, read_outline

    try:
        outline = read_outline(file)
    except (OutlineError, OSError) as error:
        raise click.ClickException(str(error)) from error
    endpoints = tuple(ServiceEndpoint(one.method, one.path, one.id) for one in outline.operations)
    if outline.base_path:
        message = f"{file}: is not used as the contract, because its paths lack the base path {outline.base_path}"
        return Source(outline.title, endpoints, None, (message,))
    problem = _contract_problem(file)
    if problem:
        return Source(outline.title, endpoints, None, (f"{file}: is not used as the contract: {problem}",))
    if file.name == CONTRACT_NAME:
        return Source(outline.title, endpoints, file.resolve().parent)
    return Source(outline.title, endpoints, own, tuple(_copied(file, own / CONTRACT_NAME, force=force)))


def _contract_problem(file: Path) -> str | None:
    from proxy.contract.faults import ContractError
    from proxy.contract.reading import load

    try:
        load(file)
    except ContractError as error:
        return str(error.faults[0])
    return None


def _copied(source: Path, target: Path, *, force: bool) -> Iterator[str]:
    """Copy a contract, and yield a message if that was not possible."""
    if target.exists() and not force:
        yield f"{target}: exists and stays; --force replaces it"
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    if _contract_problem(target):  # the copy is invalid if it has relative references
        target.unlink()
        yield f"{source}: is not used as the contract, because it refers to other files; rename it to {CONTRACT_NAME}"
        return
    click.echo(f"{target}: copied from {source}")


def _from_recordings(recordings: Path, own: Path) -> Source:
    """Infer the contract from recordings if there is none, and return its endpoints."""
    from proxy.contract.faults import ContractError
    from proxy.contract.reading import load
    from proxy.inference.editing import Files
    from proxy.inference.merging import merge
    from proxy.inference.samples import learned, observe
    from proxy.recordings import model

    file = own / CONTRACT_NAME
    title = own.resolve().parent.name
    try:
        recorded = model.load(recordings)
        operations = load(file) if file.exists() else learned(recorded)
        if not file.exists():
            own.mkdir(parents=True, exist_ok=True)
            files = Files(file)
            merge(files, observe(recorded, operations), title)
            files.save()
            click.echo(f"{file}: {counted(len(operations.operations), 'operation')}")
    except (ContractError, model.RecordingError, OSError) as error:
        raise click.ClickException(str(error)) from error
    endpoints = tuple(ServiceEndpoint(one.method, one.template, one.id) for one in operations.operations)
    return Source(title, endpoints, own)


def _message(one: Unroutable) -> str:
    return f"{one.endpoint.method} {one.endpoint.path}: no route ({one.reason}); it goes to legacy"
