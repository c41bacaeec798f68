"""A JSON Schema at work: what of a value breaks it, and what it says of the nodes below.

Messages name places and rules, never values: what breaks a contract may be a patient's data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Final, NoReturn, cast

from jsonschema_rs import Draft202012Validator, ValidationError

from proxy.contract.schema_paths import DATA_KEYWORDS, nodes_at
from proxy.contract.values import COMPARES, NOTHING, Compare, ContractViolation, Hints
from proxy.types import JSON, ValuePath

_PATTERNS: Final = {
    "objectid": "^[0-9a-f]{24}$",
    "jwt": r"^eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$",
    "date-time": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$",
}
FORMATS: Final = tuple(_PATTERNS)
_EXPRESSIONS: Final = {name: re.compile(pattern, re.ASCII) for name, pattern in _PATTERNS.items()}


class Schema:
    """A JSON Schema 2020-12 without references. Raises ValueError where it is none."""

    def __init__(self, schema: JSON) -> None:
        self.schema: Final = schema
        self._hints: dict[ValuePath, Hints] = {}

    @cached_property
    def _validator(self) -> Draft202012Validator:
        return _compile(self.schema)

    @cached_property
    def hides(self) -> bool:
        """Whether it says of anything that it is not to be compared."""
        return _has_ignored(self.schema)

    def violations(self, value: JSON) -> Iterator[ContractViolation]:
        """Every breach in a value, paths counted from it."""
        validator = self._validator
        try:
            yield from map(_violation, _errors(validator, value))
        except (ValueError, RecursionError):
            yield ContractViolation((), "depth", "is nested too deep to be checked")

    def hints(self, path: ValuePath) -> Hints:
        """What the node at a path says; nothing where the schema does not know the path."""
        general = tuple(0 if isinstance(step, int) else step for step in path)
        if general not in self._hints:
            if len(self._hints) > 10_000:  # paths come from live answers
                self._hints.clear()
            self._hints[general] = _hints(self.schema, general)
        return self._hints[general]


def _errors(validator: Draft202012Validator, value: JSON) -> list[ValidationError]:
    try:
        return list(validator.iter_errors(value))
    except UnicodeEncodeError:
        return list(validator.iter_errors(_whole(value)))


def compile_fault(schema: JSON) -> tuple[ValuePath, str] | None:
    """Why a value is no schema, and where in it; None where it is one."""
    try:
        _compile(schema)
    except ValueError as error:
        broken = (error.instance_path, error.kind.name) if isinstance(error, ValidationError) else ((), "schema")
        return tuple(broken[0]), f"no JSON Schema: breaks `{broken[1]}`"
    return None


def has_format(name: str, text: str) -> bool:
    """Whether a text is of one of FORMATS."""
    if _EXPRESSIONS[name].search(text) is None or text.endswith("\n"):
        return False
    try:
        return name != "date-time" or bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def _compile(schema: JSON) -> Draft202012Validator:
    plain = cast("dict[str, object] | bool", _with_patterns(schema))
    return Draft202012Validator(plain, validate_formats=True, retriever=_refuse)


def _with_patterns(schema: JSON) -> JSON:
    """Formats that the library does not know as patterns: asking Python for each id costs five times the rest."""
    if isinstance(schema, list):
        return [_with_patterns(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: one if name in DATA_KEYWORDS else _with_patterns(one) for name, one in schema.items()}
    named = schema.get("format")
    if named in ("objectid", "jwt"):
        branches = found.get("allOf", [])
        found["allOf"] = [*(branches if isinstance(branches, list) else []), {"pattern": _PATTERNS[str(named)]}]
    return found


def _refuse(uri: str) -> NoReturn:
    """Nothing is ever fetched."""
    raise ValueError(f"{uri} is not part of the contract")


def _violation(error: ValidationError) -> ContractViolation:
    rule, told = error.kind.name, error.kind.as_dict()
    formal = next((name for name, pattern in _PATTERNS.items() if pattern == told.get("pattern")), None)
    if formal:
        rule, told = "format", {"format": formal}
    return ContractViolation(tuple(error.instance_path), rule, _message(rule, told))


def _message(rule: str, told: dict[str, object]) -> str:
    if rule == "required":
        return f"lacks `{told.get('property')}`"
    if rule == "type":
        return f"is not of type {_types(told.get('types'))}"
    if rule == "format":
        return f"is no {told.get('format')}"
    if rule in ("enum", "const"):
        return "is none of the values that the contract has"
    if rule in ("additionalProperties", "unevaluatedProperties"):
        return "has fields that the contract does not have"
    return f"breaks `{rule}`"


def _types(types: object) -> str:
    return " or ".join(map(str, types)) if isinstance(types, list) else str(types)


def _hints(schema: JSON, path: ValuePath) -> Hints:
    merged = NOTHING
    for node in nodes_at(schema, path):
        hints = _hints_of(node)
        absent = (name for name in Hints.__slots__ if getattr(merged, name) is None)
        merged = replace(merged, **{name: getattr(hints, name) for name in absent})
    return merged


def _hints_of(schema: dict[str, JSON]) -> Hints:
    compare, format_ = schema.get("x-compare"), schema.get("format")
    key = compare.get("key") if isinstance(compare, dict) else None
    return Hints(
        compare=cast(Compare, compare) if compare in COMPARES else None,
        key=key if isinstance(key, str) else None,
        report="show" if schema.get("x-report") == "show" else None,
        format=format_ if isinstance(format_, str) else None,
    )


def _has_ignored(schema: JSON) -> bool:
    if isinstance(schema, list):
        return any(map(_has_ignored, schema))
    if not isinstance(schema, dict):
        return False
    return schema.get("x-compare") == "ignore" or any(
        _has_ignored(one) for name, one in schema.items() if name not in DATA_KEYWORDS
    )


def _whole(value: JSON) -> JSON:
    """The value with lone surrogates, which JSON may hold and UTF-8 may not, replaced."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {str(_whole(name)): _whole(item) for name, item in value.items()}
    return value
