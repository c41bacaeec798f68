"""Validate values against a JSON Schema, and read its hints.

Messages contain paths and rules, never values, which may be a patient's data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Final, NoReturn, cast

from jsonschema_rs import Draft202012Validator, ValidationError

from proxy.contract.schema_paths import DATA_KEYWORDS, nodes_at
from proxy.contract.values import COMPARES, NOTHING, ContractViolation, Hints
from proxy.types import JSON, ValuePath

_PATTERNS: Final = {
    "objectid": "^[0-9a-f]{24}$",
    "jwt": r"^eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$",
    "date-time": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$",
}
FORMATS: Final = tuple(_PATTERNS)
_EXPRESSIONS: Final = {name: re.compile(pattern, re.ASCII) for name, pattern in _PATTERNS.items()}


MAX_RECENT: Final = 256
"""Maximum number of bodies, by digest, whose violations a schema caches."""
MAX_RECENT_VIOLATIONS: Final = 20
"""Maximum number of cached violations of one body."""


class Schema:
    """A JSON Schema 2020-12 without references. Raises ValueError if it is invalid."""

    def __init__(self, schema: JSON) -> None:
        self.schema: Final = schema
        self._hints: dict[ValuePath, Hints] = {}
        self._recent: dict[bytes, tuple[ContractViolation, ...]] = {}

    @cached_property
    def _validator(self) -> Draft202012Validator:
        return _compile(self.schema)

    @cached_property
    def hides(self) -> bool:
        """True if `x-compare: ignore` applies to any value."""
        return _has_ignored(self.schema)

    def body_violations(
        self, content_type: str, body: bytes, read: Callable[[str, bytes], JSON]
    ) -> tuple[ContractViolation, ...]:
        """Return every violation in a body. `read` returns its value; a recent body is not read again.

        Raises PayloadError if `read` does.
        """
        key = content_type.encode() + sha256(body).digest()
        known = self._recent.get(key)
        if known is None:
            known = tuple(self.violations(read(content_type, body)))
            if len(self._recent) >= MAX_RECENT:
                self._recent.clear()
            if len(known) <= MAX_RECENT_VIOLATIONS:
                self._recent[key] = known
        return known

    def violations(self, value: JSON) -> Iterator[ContractViolation]:
        """Yield every violation in a value, with paths relative to it."""
        validator = self._validator
        try:
            yield from map(_violation, _errors(validator, value))
        except (ValueError, RecursionError):
            yield ContractViolation((), "depth", "is nested too deep to be checked")

    def hints(self, path: ValuePath) -> Hints:
        """Return the hints of the node at a path; none if the schema does not have the path."""
        general = tuple([0 if isinstance(step, int) else step for step in path])
        known = self._hints.get(general)
        if known is None:
            if len(self._hints) > 10_000:  # paths come from live answers
                self._hints.clear()
            known = self._hints[general] = _hints(self.schema, general)
        return known


def _errors(validator: Draft202012Validator, value: JSON) -> list[ValidationError]:
    try:
        return list(validator.iter_errors(value))
    except UnicodeEncodeError:
        return list(validator.iter_errors(_without_surrogates(value)))


def compile_fault(schema: JSON) -> tuple[ValuePath, str] | None:
    """Return the path and the reason why a value is not a schema; None if it is one."""
    try:
        _compile(schema)
    except ValueError as error:
        broken = (error.instance_path, error.kind.name) if isinstance(error, ValidationError) else ((), "schema")
        return tuple(broken[0]), f"not a JSON Schema: breaks `{broken[1]}`"
    return None


def has_format(name: str, text: str) -> bool:
    """Return whether a text has one of FORMATS."""
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
    """Replace formats that the library does not know by patterns: callbacks for ids would cost five times the rest."""
    if isinstance(schema, list):
        return [_with_patterns(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    converted = {name: one if name in DATA_KEYWORDS else _with_patterns(one) for name, one in schema.items()}
    named = schema.get("format")
    if named in ("objectid", "jwt"):
        branches = converted.get("allOf", [])
        converted["allOf"] = [*(branches if isinstance(branches, list) else []), {"pattern": _PATTERNS[str(named)]}]
    return converted


def _refuse(uri: str) -> NoReturn:
    """Refuse to fetch a reference."""
    raise ValueError(f"{uri} is not part of the contract")


def _violation(error: ValidationError) -> ContractViolation:
    rule, details = error.kind.name, error.kind.as_dict()
    format_name = next((name for name, pattern in _PATTERNS.items() if pattern == details.get("pattern")), None)
    if format_name:
        rule, details = "format", {"format": format_name}
    return ContractViolation(tuple(error.instance_path), rule, _message(rule, details))


def _message(rule: str, details: dict[str, object]) -> str:
    if rule == "required":
        return f"lacks `{details.get('property')}`"
    if rule == "type":
        return f"is not of type {_types(details.get('types'))}"
    if rule == "format":
        return f"is not in the format {details.get('format')}"
    if rule in ("enum", "const"):
        return "is not one of the contract's values"
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
        compare=compare if compare in COMPARES else None,
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


def _without_surrogates(value: JSON) -> JSON:
    """Return the value with lone surrogates replaced, which JSON may contain and UTF-8 may not."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {str(_without_surrogates(name)): _without_surrogates(item) for name, item in value.items()}
    return value
