"""A JSON Schema at work: what of a value breaks it, and what it says of the nodes below.

Messages name places and rules, never values: what breaks a contract may be a patient's data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Literal, cast

from jsonschema_rs import Draft202012Validator, ValidationError

from proxy.canonical import JSON

Path = tuple[str | int, ...]
Compare = Literal["ignore", "unordered", "text"]
COMPARES: Final = ("ignore", "unordered", "text")
FORMATS: Final[dict[str, re.Pattern[str]]] = {
    "objectid": re.compile(r"[0-9a-f]{24}", re.ASCII),
    "jwt": re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*", re.ASCII),
    "date-time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII),
}
_BRANCHES: Final = ("allOf", "anyOf", "oneOf")


@dataclass(frozen=True, slots=True)
class Violation:
    """One breach: `path` leads to it (`("status",)`, `("header", name)`, `("body", …)`), `rule` is the keyword."""

    path: Path
    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class Hints:
    """What a schema node says beyond its type: how to compare it, and whether reports may show its value.

    `key` names the field by which the items of an array are told apart (`x-compare: {key: _id}`).
    """

    compare: Compare | None = None
    key: str | None = None
    report: Literal["show"] | None = None
    format: str | None = None


NOTHING: Final = Hints()


class Schema:
    """A JSON Schema 2020-12 without references. Raises ValueError where it is none."""

    def __init__(self, schema: JSON) -> None:
        self.schema: Final = schema
        self._hints: dict[Path, Hints] = {}

    @cached_property
    def _validator(self) -> Draft202012Validator:
        schema = cast("dict[str, object] | bool", self.schema)
        return Draft202012Validator(schema, formats=_checks(), validate_formats=True)

    def violations(self, value: JSON) -> Iterator[Violation]:
        """Every breach in a value, paths counted from it."""
        try:
            yield from (_violation(error) for error in self._validator.iter_errors(value))
        except UnicodeEncodeError:
            yield from (_violation(error) for error in self._validator.iter_errors(_whole(value)))
        except ValueError:
            yield Violation((), "depth", "is nested too deep to be checked")

    def hints(self, path: Path) -> Hints:
        """What the node at a path says; nothing where the schema does not know the path."""
        general = tuple(0 if isinstance(step, int) else step for step in path)
        if general not in self._hints:
            if len(self._hints) > 10_000:  # paths come from live answers
                self._hints.clear()
            self._hints[general] = _hints(self.schema, general)
        return self._hints[general]


def compile_fault(schema: JSON) -> tuple[Path, str] | None:
    """Why a value is no schema, and where in it; None where it is one."""
    try:
        Draft202012Validator(cast("dict[str, object] | bool", schema), formats=_checks(), validate_formats=True)
    except ValidationError as error:
        return tuple(error.instance_path), f"no JSON Schema: breaks `{error.kind.name}`"
    except ValueError as error:
        return (), f"no JSON Schema: {error}"
    return None


def _checks() -> dict[str, Callable[[str], bool]]:
    """`date-time` is left to the library, which knows the calendar."""
    return {name: _check(pattern) for name, pattern in FORMATS.items() if name != "date-time"}


def _check(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def _violation(error: ValidationError) -> Violation:
    rule = error.kind.name
    return Violation(tuple(error.instance_path), rule, _message(error, rule))


def _message(error: ValidationError, rule: str) -> str:
    told = error.kind.as_dict()
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


def _hints(schema: JSON, path: Path) -> Hints:
    if not isinstance(schema, dict):
        return NOTHING
    own = _own(schema) if not path else NOTHING
    for below in _below(schema, path):
        found = _hints(*below)
        own = replace(own, **{name: getattr(found, name) for name in Hints.__slots__ if getattr(own, name) is None})
    return own


def _below(schema: dict[str, JSON], path: Path) -> Iterator[tuple[JSON, Path]]:
    """The schemas that speak of a path below this one, each with what is left of the path."""
    for keyword in _BRANCHES:
        branches = schema.get(keyword)
        yield from ((branch, path) for branch in (branches if isinstance(branches, list) else ()))
    if path and isinstance(path[0], int):
        yield schema.get("items"), path[1:]
    elif path:
        properties = schema.get("properties")
        known = properties.get(path[0]) if isinstance(properties, dict) else None
        yield schema.get("additionalProperties") if known is None else known, path[1:]


def _own(schema: dict[str, JSON]) -> Hints:
    compare, format_ = schema.get("x-compare"), schema.get("format")
    key = compare.get("key") if isinstance(compare, dict) else None
    return Hints(
        compare=cast(Compare, compare) if compare in COMPARES else None,
        key=key if isinstance(key, str) else None,
        report="show" if schema.get("x-report") == "show" else None,
        format=format_ if isinstance(format_, str) else None,
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
