"""Merge two OpenAPI documents: the contract, which describes legacy, and the native app's own. Pure."""

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
    """Return a contract without the keywords of comparisons and reports.

    Its references are expanded; of its components only the security schemes are still referenced, and stay.
    """
    shown = {key: _without(value, INTERNAL) for key, value in contract.items() if key not in INTERNAL}
    schemes = shown.pop("components", {}).get("securitySchemes")
    return {**shown, **({"components": {"securitySchemes": schemes}} if schemes else {})}


def merge(contract: Document, native: Document) -> dict[str, Any]:
    """Merge both documents. The contract's operations win; names of native that the contract uses are prefixed."""
    native = _renamed(native, _clashes(_schemes(contract), _schemes(native)))
    paths = {path: dict(item) for path, item in contract.get("paths", {}).items()}
    taken = {operation.get("operationId") for operation in _operations(contract)}
    for path, item in native.get("paths", {}).items():
        own = {key: _alone(value, contract, native, taken) if key in METHODS else value for key, value in item.items()}
        paths[path] = {**own, **paths.get(path, {})}
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
    """Return the contract's title and version with both descriptions."""
    texts = [info["description"].strip() for info in (contract, native) if info.get("description")]
    description = {"description": "\n\n".join(texts)} if texts else {}
    return {"title": "API", "version": "1", **native, **contract, **description}


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


def _clashes(first: Document, second: Document) -> frozenset[str]:
    """Return the names that two sets of security schemes define differently."""
    return frozenset(name for name in first if name in second and first[name] != second[name])


def _renamed(document: Document, names: frozenset[str]) -> Document:
    """Prefix the names of security schemes, where a document defines and requires them."""
    if not names:
        return document
    schemes = {"securitySchemes": _prefixed(_schemes(document), names)}
    paths = {
        path: {key: _requiring(value, names) if key in METHODS else value for key, value in item.items()}
        for path, item in document.get("paths", {}).items()
    }
    return _requiring({**document, "components": {**document["components"], **schemes}, "paths": paths}, names)


def _requiring(holder: Document, names: frozenset[str]) -> dict[str, Any]:
    """Prefix the names in the `security` of an operation or a document."""
    wanted = {"security": [_prefixed(each, names) for each in holder["security"]]} if "security" in holder else {}
    return {**holder, **wanted}


def _prefixed(mapping: Document, names: frozenset[str]) -> dict[str, Any]:
    return {_PREFIX + key if key in names else key: value for key, value in mapping.items()}


def _alone(operation: Document, contract: Document, native: Document, taken: set[object]) -> dict[str, Any]:
    """Return an operation of native with its own `security` and a unique id, independent of the documents' defaults."""
    result = dict(operation)
    if "security" in native or "security" in contract:
        result.setdefault("security", native.get("security", []))
    if result.get("operationId") in taken:
        result["operationId"] = _PREFIX + result["operationId"]
    return result


def _tags(tags: list[dict[str, Any]], native: Document) -> list[dict[str, Any]]:
    """Return the contract's tags, then those of native's operations."""
    named = {tag["name"] for tag in tags}
    described = {tag["name"]: tag for tag in native.get("tags", [])}
    used = dict.fromkeys(tag for operation in _operations(native) for tag in operation.get("tags", []))
    return [*tags, *(described.get(name, {"name": name}) for name in used if name not in named)]
