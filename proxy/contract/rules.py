"""Check schemas for misspelt, inapplicable or contradictory hints, which schema libraries do not check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from proxy.contract.faults import Fault
from proxy.contract.schema_paths import BRANCHES
from proxy.contract.schemas import compile_fault
from proxy.contract.tree import Tree
from proxy.contract.values import COMPARES

_NESTED: Final = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_SEVERAL: Final = (*BRANCHES, "prefixItems", "properties", "patternProperties", "$defs", "dependentSchemas")
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "unordered": ("array",),
    "text": ("string",),
    "instant": ("string",),
    "generated": ("string", "integer"),
    "literal": ("string", "integer", "number", "boolean", "null"),
}


def schema_faults(tree: Tree, name: str) -> Iterator[Fault]:
    """Yield every fault in a schema and its subschemas; `name` is its location in the contract."""
    fault = compile_fault(tree.value)
    if fault:
        path, message = fault
        yield tree.at(*path).fault(message, name)
        return
    for node in _nodes(tree):
        yield from _hint_faults(node, name)
        yield from _contradictions(node, name)


def hiding_faults(tree: Tree, name: str) -> Iterator[Fault]:
    """Yield a fault if a body's schema leaves nothing to compare."""
    compare = tree.get("x-compare")
    if compare is not None and compare.value == "ignore":
        yield compare.fault("x-compare: ignore hides the whole body", name)


def _nodes(tree: Tree) -> Iterator[Tree]:
    yield tree
    for keyword, below in tree.entries():
        if keyword in _NESTED:
            yield from _nodes(below)
        elif keyword in _SEVERAL:
            for each in below.below.values():
                yield from _nodes(each)


def _hint_faults(node: Tree, name: str) -> Iterator[Fault]:
    compare, report = node.get("x-compare"), node.get("x-report")
    if report is not None and report.value != "show":
        yield report.fault("x-report can only be `show`", name)
    elif report is not None and not _is_closed(node):
        yield report.fault("x-report: show needs an `enum` or a `const`: any other value may be data", name)
    if compare is None:
        return
    if isinstance(compare.value, dict):
        yield from _key_faults(node, compare, name)
    elif compare.value not in COMPARES:
        yield compare.fault(f"x-compare must be one of {', '.join(COMPARES)} or `key: NAME`", name)
    else:
        needed = _NEEDED.get(str(compare.value), ())
        if needed and not any(_may_be(node, one) for one in needed):
            usable = "scalars" if len(needed) > 2 else " and ".join(f"{one}s" for one in needed)
            yield compare.fault(f"x-compare: {compare.value} is for {usable}, and this is not one", name)


def _is_closed(node: Tree) -> bool:
    """Return whether the schema lists its values, or is of booleans or null, which have no others."""
    types = _types(node)
    return bool(node.get("const") or node.get("enum") or (types and types <= {"boolean", "null"}))


def _key_faults(node: Tree, compare: Tree, name: str) -> Iterator[Fault]:
    key = compare.get("key")
    if key is None or len(compare.below) != 1 or not isinstance(key.value, str):
        yield compare.fault("x-compare must be `key: NAME` and nothing else", name)
        return
    items = node.get("items")
    known = _fields(items) if items else set()
    if not _may_be(node, "array"):
        yield compare.fault("x-compare: key is for arrays, and this is not one", name)
    elif key.value not in known:
        yield key.fault(f"the items have no `{key.value}`", name)


def _fields(schema: Tree) -> set[str]:
    """Return the properties of a schema and of its branches."""
    properties = schema.get("properties")
    names = {name for name, _ in properties.entries()} if properties else set[str]()
    for keyword in BRANCHES:
        several = schema.get(keyword)
        names = names.union(*(_fields(below) for below in several.below.values())) if several else names
    return names


def _contradictions(node: Tree, name: str) -> Iterator[Fault]:
    required, properties = node.get("required"), node.get("properties")
    additional = node.get("additionalProperties")
    closed = additional is not None and additional.value is False
    known = properties.value if properties and isinstance(properties.value, dict) else {}
    for entry in required.below.values() if required and closed else ():
        if entry.value not in known:
            yield entry.fault(f"`{entry.value}` is required, and not allowed", name)
    types, values = _types(node), node.get("enum")
    for value in values.below.values() if values and types else ():
        if not set(_type_names(value.value)) & types:
            yield value.fault("this value of the enum is not of the type", name)


def _may_be(node: Tree, wanted: str) -> bool:
    types = _types(node)
    return not types or wanted in types


def _types(node: Tree) -> set[str]:
    given = node.get("type")
    if given is None:
        return set()
    return {str(one) for one in given.value} if isinstance(given.value, list) else {str(given.value)}


def _type_names(value: object) -> tuple[str, ...]:
    if value is None:
        return ("null",)
    if isinstance(value, bool):
        return ("boolean",)
    if isinstance(value, int):
        return ("integer", "number")
    if isinstance(value, float):
        return ("number", "integer") if value.is_integer() else ("number",)
    return ("string",) if isinstance(value, str) else ("array",) if isinstance(value, list) else ("object",)
