"""The JSON Schema of routing.yaml: the shipped one is current, and agrees with `check` about the form of values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from proxy.config.error_messages import all_keys
from proxy.config.json_schema import routing_schema
from proxy.config.loading import parse
from proxy.config.problems import ConfigError
from tests.support.routing_texts import WHOLE
from tests.support.shipped import ROUTING

ROOT = Path(__file__).parents[3]
SCHEMA = routing_schema()
VALIDATOR = jsonschema_rs.validator_for(SCHEMA)
HEAD = "legacy: {url: http://x}\nnative: a:b\ntokens: {secret: s}\n"


def accepts(text: str) -> bool:
    return bool(VALIDATOR.is_valid(yaml.safe_load(text)))


def checked(text: str) -> bool:
    try:
        parse(text, {})
    except ConfigError:
        return False
    return True


def test_shipped_schema_is_current() -> None:
    shipped = json.loads((ROOT / "docs" / "routing.schema.json").read_text())
    assert shipped == SCHEMA, "run: scribe-proxy schema >docs/routing.schema.json"


@pytest.mark.parametrize("file", [ROUTING, ROOT / "deploy" / "kubernetes" / "routing.yaml"])
def test_shipped_files_are_valid(file: Path) -> None:
    text = file.read_text()
    document = yaml.safe_load(text)
    if "data" in document:
        text = document["data"]["routing.yaml"]
    assert accepts(text)


def test_file_refers_to_its_schema() -> None:
    first = ROUTING.read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=docs/routing.schema.json"


def _keys(schema: dict[str, Any], prefix: str = "") -> set[str]:
    """Return the keys of a schema as dotted paths."""
    keys: set[str] = set()
    for name, below in schema.get("properties", {}).items():
        keys |= {prefix + name} | _keys(below, f"{prefix}{name}.")
    for below in (*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())):
        keys |= _keys(below, prefix)
    return keys


def test_every_key_is_in_the_schema() -> None:
    assert set(all_keys()) <= _keys(SCHEMA)


def route(settings: str) -> str:
    return f"routes: [{{name: a, match: GET /a, {settings}}}]"


VALID = {
    "whole": WHOLE,
    "groups": f"{HEAD}groups: {{g: {{native: 25%, guard: {{}}, rollout: off}}}}\n{route('group: g')}",
    "targets": HEAD + route("native: {share: 0%, include: {jwt:id: [1, a], client-ip: {file: x}}}"),
    "stages": HEAD + route("rollout: {stages: [1%, {share: 5%, bake_time: 1d}], start_at: 5%}"),
    "window": HEAD
    + route(
        "rollout: {stages: [1%], window: {days: mon-fri, hours: 09:00-17:00, zone: UTC, never_on: ['2026-12-25']}}"
    ),
    "references": "legacy: {url: '${A}'}\nlimits: {memory: '${B:-64MiB}', in_flight: '${C}'}\nserved_by: '${D}'\n",
    "extension": "legacy: {url: http://x}\nx-anything: [1, {a: b}]\n",
}


@pytest.mark.parametrize("text", VALID.values(), ids=VALID)
def test_valid_file_satisfies_the_schema(text: str) -> None:
    assert accepts(text)


INVALID = {
    "no legacy": "native: a:b",
    "unknown key": f"{HEAD}foo: 1",
    "unknown key of a route": f"{HEAD}routes: [{{name: a, match: GET /a, nativ: 5%}}]",
    "bare share": f"{HEAD}routes: [{{name: a, match: GET /a, native: 25}}]",
    "bare duration": "legacy: {url: http://x, timeouts: {connect: 5}}",
    "week": f"{HEAD}routes: [{{name: a, match: GET /a, rollout: {{stages: [1%], bake_time: 1w}}}}]",
    "guard true": f"{HEAD}routes: [{{name: a, match: GET /a, guard: true}}]",
    "no method": f"{HEAD}routes: [{{name: a, match: /a}}]",
    "no zone": f"{HEAD}routes: [{{name: a, match: GET /a, rollout: {{stages: [1%], window: {{days: mon}}}}}}]",
    "source": f"{HEAD}routes: [{{name: a, match: GET /a, native: {{include: {{jwt: a}}}}}}]",
    "url": "legacy: {url: localhost}",
}


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_file_refused_by_check_violates_the_schema(text: str) -> None:
    assert not accepts(text)
    assert not checked(text)


LISTS = f"""{HEAD}
bucketing: {{key: [jwt:userID, client-ip]}}
allowed_origins: ["http://a.example"]
trusted_proxies: [10.0.0.1, unix]
ops: {{hosts: [ops.example], operators: [ada, ben], trust_header: x-forwarded-user}}
routes:
  - name: a
    match: GET /a
    native: {{share: 50%, include: {{"header:x-clinic": [north, south]}}}}
    rollout:
      stages: [1%, 50%]
      window: {{days: [mon, tue], hours: "09:00-17:00", zone: UTC, never_on: [2026-12-24, 2026-12-25]}}
"""


def with_text_for_each_list(node: Any) -> Iterator[Any]:
    """Yield copies of a document, in each of which another list is replaced by comma-separated text."""
    if isinstance(node, list):
        yield ", ".join(map(str, node))
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, below in items:
        for replaced in with_text_for_each_list(below):
            copy = node.copy()
            copy[key] = replaced
            yield copy


def test_text_for_a_list_has_the_same_verdict_as_in_check() -> None:
    texts = [yaml.safe_dump(document) for document in with_text_for_each_list(yaml.load(LISTS, yaml.BaseLoader))]
    assert len(texts) == LISTS.count("[") + 1  # and the routes
    assert checked(LISTS)
    agreed = {(accepts(text), checked(text)) for text in texts}
    assert agreed == {(True, True), (False, False)}


def with_references(node: Any) -> Iterator[Any]:
    """Yield copies of a document, in each of which another value is the default of a reference to the environment."""
    if isinstance(node, str) and "${" not in node:
        yield f"${{UNSET:-{node}}}"
    for key, below in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        for replaced in with_references(below):
            copy = node.copy()
            copy[key] = replaced
            yield copy


def test_any_value_may_be_a_reference() -> None:
    words = f"{HEAD}reports: {{redact: values}}\n{route('guard: off, rollout: off')}"
    files = [WHOLE, VALID["groups"], VALID["stages"], VALID["window"], words]
    documents = [yaml.load(text, yaml.BaseLoader) for text in files]
    texts = [yaml.safe_dump(each) for document in documents for each in with_references(document)]
    assert [text for text in texts if not (accepts(text) and checked(text))] == []
