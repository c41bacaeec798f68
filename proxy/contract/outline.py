"""List the operations of any OpenAPI or Swagger document, even of one that is not a contract.

The contract itself must be OpenAPI 3.1 (`proxy.contract.reading`). Documents of other versions still name their paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

from proxy.types import JSON

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class OutlineError(Exception):
    """A file that is not an OpenAPI document; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class OutlinedOperation:
    """An operation by method (`WS` for one with `x-frames`), path template and operationId (may be empty)."""

    method: str
    path: str
    id: str


@dataclass(frozen=True, slots=True)
class ServiceOutline:
    """A document's title, base path (`/v1`, or empty) and operations."""

    title: str
    base_path: str
    operations: tuple[OutlinedOperation, ...]


def read_outline(path: Path) -> ServiceOutline:
    """Read a YAML or JSON document of Swagger 2.0 or OpenAPI 3.x. Raises OutlineError, OSError."""
    document = _parse(path)
    if not isinstance(document, dict) or not ("openapi" in document or "swagger" in document):
        raise OutlineError(f"{path}: is not an OpenAPI document: it has no key `openapi` or `swagger`")
    paths = document.get("paths", {})
    if not isinstance(paths, dict):
        raise OutlineError(f"{path}: `paths` must be a mapping")
    base = _base_path(document)
    info = document.get("info")
    title = info.get("title") if isinstance(info, dict) else None
    return ServiceOutline(str(title or path.stem), base, tuple(_operations(path, paths, base)))


def _parse(path: Path) -> JSON:
    try:
        parsed: JSON = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise OutlineError(f"{path}{line}: is not YAML or JSON") from error
    return parsed


def _operations(file: Path, paths: dict[str, JSON], base: str) -> Iterator[OutlinedOperation]:
    for template, declared in paths.items():
        item = _path_item(file, declared)
        for method in _METHODS:
            operation = item.get(method)
            if isinstance(operation, dict):
                name = "WS" if "x-frames" in operation else method.upper()
                yield OutlinedOperation(name, f"{base}{template}", str(operation.get("operationId") or ""))


def _path_item(file: Path, declared: JSON) -> dict[str, JSON]:
    """Return a path item, following `$ref: users.yaml#/~1login` (RFC 6901); empty if it cannot be followed."""
    item = declared
    reference = declared.get("$ref") if isinstance(declared, dict) else None
    if isinstance(reference, str):
        name, _, pointer = reference.partition("#")
        try:
            item = _parse(file.parent / unquote(name) if name else file)
        except (OSError, OutlineError) as error:
            raise OutlineError(f"{file}: {reference}: cannot be read") from error
        for step in unquote(pointer).split("/")[1:]:
            item = item.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(item, dict) else None
    return item if isinstance(item, dict) else {}


def _base_path(document: dict[str, JSON]) -> str:
    """Return the path before every template: `basePath` of Swagger, or else the path of the first server."""
    base = document.get("basePath")
    servers = document.get("servers")
    if isinstance(servers, list) and servers and isinstance(servers[0], dict):
        base = urlsplit(str(servers[0].get("url") or "")).path
    return str(base or "").rstrip("/")
