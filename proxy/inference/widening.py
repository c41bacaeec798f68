"""Loosen a schema just enough to accept observed values."""

from __future__ import annotations

from collections.abc import Iterator, MutableSequence
from typing import Final

from proxy.contract.schemas import FORMATS
from proxy.inference.editing import NodeSlot, written
from proxy.inference.inferred_schema import InferredSchema

_RULES: Final = ("type", "enum", "const", "format", "properties", "required", "items", "additionalProperties")
_OPAQUE: Final = ("allOf", "anyOf", "oneOf", "not", "if")  # written by people: not changed


def widen(schema: NodeSlot, shape: InferredSchema) -> Iterator[str]:
    """Change `schema` where the values in `shape` contradict it; yield a line ` path: change` for each change."""
    yield from _widen(schema, shape, "")


def _widen(schema: NodeSlot, shape: InferredSchema, path: str) -> Iterator[str]:
    if any(keyword in schema for keyword in _OPAQUE) or not shape.kinds:
        return
    if not any(keyword in schema for keyword in _RULES):  # a schema without rules accepts everything intentionally
        return
    yield from _widen_types(schema, shape, path)
    yield from _widen_texts(schema, shape, path)
    if shape.kinds["object"]:
        yield from _widen_object(schema, shape, path)
    items = schema.get("items")
    if items is not None and shape.items:
        yield from _widen(items, shape.items[0], f"{path}[]")
    elif shape.items and "items" not in schema:
        schema.put("items", shape.items[0].schema())


def _widen_types(schema: NodeSlot, shape: InferredSchema, path: str) -> Iterator[str]:
    given = schema.node.get("type")
    if given is None:
        return
    old = list(given) if isinstance(given, MutableSequence) else [given]
    new = [kind for kind in shape.types if kind not in old and not (kind == "integer" and "number" in old)]
    if new:
        remaining = [kind for kind in old if not (kind == "integer" and "number" in new)]
        types = [*remaining, *new]
        schema.put("type", types[0] if len(types) == 1 else list(types))
        yield f"{_at(path)}: may be {' or '.join(new)}"


def _widen_texts(schema: NodeSlot, shape: InferredSchema, path: str) -> Iterator[str]:
    yield from _widen_enum(schema, shape, path)
    named = schema.node.get("format")
    if named in FORMATS and shape.kinds["string"] and named not in shape.formats:
        del schema.node["format"]
        yield f"{_at(path)}: not always in the format {named}"


def _widen_enum(schema: NodeSlot, shape: InferredSchema, path: str) -> Iterator[str]:
    keyword = "const" if "const" in schema else "enum"
    given = schema.node.get(keyword)
    if keyword not in schema:
        return
    known = list(given) if isinstance(given, MutableSequence) else [given]
    others = any(shape.kinds[kind] for kind in ("object", "array", "integer", "number", "boolean"))
    new = [text for text in shape.texts if text not in known]
    nulls = [None] if shape.kinds["null"] and None not in known else []
    if not (new or nulls or others or shape.overflown):
        return
    del schema.node[keyword]
    if others or shape.overflown or (keyword == "const" and len(new) > 1):
        yield f"{_at(path)}: no longer one of a few values"
        return
    schema.node["enum"] = written([*known, *new, *nulls])
    yield f"{_at(path)}: other values too"


def _widen_object(schema: NodeSlot, shape: InferredSchema, path: str) -> Iterator[str]:
    required = schema.node.get("required", [])
    for name in [name for name in required if name not in shape.required]:
        required.remove(name)
        yield f"{_at(f'{path}.{name}')}: optional"
    if "required" in schema and not required:
        del schema.node["required"]
    table = schema.get("additionalProperties")
    for name, below in shape.properties.items():
        known = schema.get("properties")
        there = known.get(name) if known else None
        if there is None and table is not None:
            yield from _widen(table, below, f"{path}.*")
        elif there is None:
            schema.make("properties").put(name, below.schema())
            yield f"{_at(f'{path}.{name}')}: new, optional"
        else:
            yield from _widen(there, below, f"{path}.{name}")


def _at(path: str) -> str:
    return f" {path.lstrip('.')}" if path else ""
