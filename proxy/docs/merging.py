"""One OpenAPI document of two: the contract, which tells what legacy answers, and what native tells of itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from proxy.types import JSON

Document = Mapping[str, Any]

VERSION: Final = "3.1.1"
METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
INTERNAL: Final = frozenset({"x-compare", "x-report", "x-otherwise"})
_PREFIX: Final = "native."


def published(contract: Document) -> dict[str, Any]:
    """A contract without what is told to comparisons and reports alone.

    Its references are expanded, so that of its components the security schemes alone are still referred to.
    """
    shown = {key: _without(value, INTERNAL) for key, value in contract.items() if key not in INTERNAL}
    schemes = shown.pop("components", {}).get("securitySchemes")
    return {**shown, **({"components": {"securitySchemes": schemes}} if schemes else {})}


def merge(contract: Document, native: Document) -> dict[str, Any]:
    """Both as one: of an operation that both have the contract's; what native calls by a taken name is renamed."""
    native = _renamed(native, _clashes(_schemes(contract), _schemes(native)))
    paths = {path: dict(item) for path, item in contract.get("paths", {}).items()}
    taken = {operation.get("operationId") for operation in _operations(contract)}
    for path, item in native.get("paths", {}).items():
        told = {key: _alone(value, contract, native, taken) if key in METHODS else value for key, value in item.items()}
        paths[path] = {**told, **paths.get(path, {})}
    schemes = {**_schemes(native), **_schemes(contract)}
    components = {**native.get("components", {}), **({"securitySchemes": schemes} if schemes else {})}
    return {
        **contract,
        "info": _info(contract.get("info", {}), native.get("info", {})),
        "openapi": VERSION,
        "tags": _tags(contract.get("tags", []), native),
        "paths": paths,
        "components": components,
    }


def _info(contract: Document, native: Document) -> dict[str, Any]:
    """The contract's title and version; what both say of themselves."""
    said = [info["description"].strip() for info in (contract, native) if info.get("description")]
    told = {"description": "\n\n".join(said)} if said else {}
    return {"title": "API", "version": "1", **native, **contract, **told}


def _without(value: JSON, keys: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(member, keys) for key, member in value.items() if key not in keys}
    return [_without(member, keys) for member in value] if isinstance(value, list) else value


def _operations(document: Document) -> Iterator[dict[str, Any]]:
    for item in document.get("paths", {}).values():
        yield from (operation for method, operation in item.items() if method in METHODS)


def _schemes(document: Document) -> dict[str, Any]:
    schemes: dict[str, Any] = document.get("components", {}).get("securitySchemes", {})
    return schemes


def _clashes(ours: Document, theirs: Document) -> frozenset[str]:
    """Names that two sets of security schemes use for different ones."""
    return frozenset(name for name in ours if name in theirs and ours[name] != theirs[name])


def _renamed(document: Document, names: frozenset[str]) -> Document:
    """A document in which security schemes have other names, wherever they are required too."""
    if not names:
        return document
    schemes = {"securitySchemes": _prefixed(_schemes(document), names)}
    paths = {
        path: {key: _requiring(value, names) if key in METHODS else value for key, value in item.items()}
        for path, item in document.get("paths", {}).items()
    }
    return _requiring({**document, "components": {**document["components"], **schemes}, "paths": paths}, names)


def _requiring(holder: Document, names: frozenset[str]) -> dict[str, Any]:
    """An operation, or a document, with its `security` renamed."""
    wanted = {"security": [_prefixed(each, names) for each in holder["security"]]} if "security" in holder else {}
    return {**holder, **wanted}


def _prefixed(mapping: Document, names: frozenset[str]) -> dict[str, Any]:
    return {_PREFIX + key if key in names else key: value for key, value in mapping.items()}


def _alone(operation: Document, contract: Document, native: Document, taken: set[object]) -> dict[str, Any]:
    """An operation of native's that depends on nothing at the top of either document, with an id of its own."""
    told = dict(operation)
    if "security" in native or "security" in contract:
        told.setdefault("security", native.get("security", []))
    if told.get("operationId") in taken:
        told["operationId"] = _PREFIX + told["operationId"]
    return told


def _tags(tags: list[dict[str, Any]], native: Document) -> list[dict[str, Any]]:
    """The contract's tags, and those of native's operations after them."""
    named = {tag["name"] for tag in tags}
    described = {tag["name"]: tag for tag in native.get("tags", [])}
    used = dict.fromkeys(tag for operation in _operations(native) for tag in operation.get("tags", []))
    return [*tags, *(described.get(name, {"name": name}) for name in used if name not in named)]
