"""Each key of routing.yaml with no value, an empty one, or one of a wrong type: a message that names the key.

The keys are those of the JSON Schema, which also says which values are wrong.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import yaml

from proxy.config.error_messages import all_keys
from proxy.config.json_schema import routing_schema
from proxy.config.loading import parse
from proxy.config.problems import ConfigError, Problem
from tests.support.profile import IS_QUICK

SCHEMA = routing_schema()
VALIDATOR = jsonschema_rs.validator_for(SCHEMA)
VALUES: dict[str, Any] = {
    "no value": None,
    "empty text": "",
    "empty list": [],
    "empty mapping": {},
    "list": ["%"],
    "list of lists": [["%"]],
    "mapping": {"other": "1"},
    "text": "%",
}
REQUIRED: dict[str, Any] = {
    "legacy": {"url": "https://x"},
    "overrides": {"secret": "0123456789abcdef"},
    "notify": {"url": "http://x"},
    "routes": [{"name": "a", "match": "GET /a", "group": "g"}],
    "rollout": {"stages": [{"share": "1%"}]},
    "window": {"zone": "UTC"},
}
"""Sections with a key that is required."""
QUICK_KINDS = 3
"""Wrong values of each key in a quick run: no value, and others in turn."""
ITEM = re.compile(r"\[[^]]*\]")
Path = tuple[str | int, ...]
"""Keys, and 0 for the item of a list; the entry of a mapping of names is `g`."""


def key_paths(schema: dict[str, Any], at: Path = ()) -> Iterator[Path]:
    """Yield the path of each key that a schema has."""
    for key, below in schema.get("properties", {}).items():
        yield (*at, key)
        yield from key_paths(below, (*at, key))
    for form in schema.get("anyOf", ()):
        yield from key_paths(form, at)
    if "items" in schema:
        yield from key_paths(schema["items"], (*at, 0))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from key_paths(schema["additionalProperties"], (*at, "g"))


PATHS = [path for path in key_paths(SCHEMA) if path[-1] != "file"]  # a list of values for targets: not a section


def document(path: Path, value: Any) -> dict[str, Any]:
    """Return a document with a value at a path."""
    content: dict[str, Any] = {**{key: copy.deepcopy(REQUIRED[key]) for key in ("legacy", "routes")}, "native": "a:b"}
    node: Any = content
    for key in path[:-1]:
        if isinstance(key, str) and key not in node:
            node[key] = copy.deepcopy(REQUIRED.get(key, {}))
        node = node[key]
    node[path[-1]] = value
    return content


def named(path: Path) -> str:
    """Return a path as `where` of a problem, without the names of items."""
    return "".join("[]" if key == 0 else f".{key}" for key in path).removeprefix(".")


def is_written_at(problem: Problem, line: str) -> bool:
    """Return True if a line has what a problem is about: its key, the section in which one is missing, or an item."""
    section = problem.where.rpartition(".")[0]
    at = [problem.where, section] if problem.message == "is missing" else [problem.where]
    return any(("- " if where.endswith("]") else where.rpartition(".")[2] + ":") in line for where in at)


def problems(text: str) -> tuple[Problem, ...]:
    """Return the problems of a text, or its warnings if it has none."""
    try:
        return parse(text, {}).notes
    except ConfigError as error:
        return error.problems


def test_paths_are_those_of_every_key() -> None:
    dotted = {".".join(key for key in path if isinstance(key, str)) for path in PATHS}
    assert set(all_keys()) <= dotted


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_wrong_value_is_reported_at_its_key(path: Path) -> None:
    refused = []
    first, *others = VALUES.items()
    start = PATHS.index(path) % len(others)
    for kind, value in (first, *others[start:], *others[:start]):
        content = document(path, value)
        if VALIDATOR.is_valid(content):
            continue
        refused.append(kind)
        text = yaml.dump(content, Dumper=yaml.CSafeDumper)
        reported = [each for each in problems(text) if ITEM.sub("[]", each.where).startswith(named(path))]
        assert reported, f"{kind}: {problems(text)}"
        for each in reported:
            assert is_written_at(each, text.splitlines()[each.line - 1]), f"{kind}: {each}"
        if value is None:
            assert len(reported) == 1
            assert re.match("has no value, and counts as absent|is missing", reported[0].message)
        if IS_QUICK and len(refused) == QUICK_KINDS:
            break
    assert "no value" in refused
    assert len(refused) > 1
