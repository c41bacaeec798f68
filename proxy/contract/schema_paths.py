"""Find the nodes of a JSON Schema that describe a value at a path. References must be resolved already. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from proxy.types import JSON

BRANCHES: Final = ("allOf", "anyOf", "oneOf")
DATA_KEYWORDS: Final = ("const", "default", "enum", "example", "examples")
"""Keywords whose values are data, not schemas."""


def nodes_at(schema: JSON, path: Sequence[str | int]) -> Iterator[dict[str, JSON]]:
    """Yield every schema node that describes the value at `path`, the nearest first.

    All indices of an array are alike. A name without a property of its own is described by `additionalProperties`.
    """
    if not isinstance(schema, dict):
        return
    if not path:
        yield schema
    for keyword in BRANCHES:
        branches = schema.get(keyword)
        for branch in branches if isinstance(branches, list) else ():
            yield from nodes_at(branch, path)
    if path and isinstance(path[0], int):
        yield from nodes_at(schema.get("items"), path[1:])
    elif path:
        described = properties_of(schema).get(str(path[0]))
        yield from nodes_at(schema.get("additionalProperties") if described is None else described, path[1:])


def properties_of(schema: dict[str, JSON]) -> dict[str, JSON]:
    """Return the `properties` of one schema node, branches not included."""
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def property_names(schema: JSON) -> Iterator[str]:
    """Yield the name of every property anywhere in a schema."""
    if isinstance(schema, list):
        for item in schema:
            yield from property_names(item)
    if isinstance(schema, dict):
        yield from properties_of(schema)
        for keyword, nested in schema.items():
            if keyword not in DATA_KEYWORDS:
                yield from property_names(nested)
