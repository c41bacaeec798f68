"""Values of routing.yaml are parsed by one function each, and validators are built once, when a file is read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from proxy.config.field_types import read_count
from proxy.config.models import RoutingFile
from proxy.config.parsed_by import ParsedBy
from tests.support.waiting import HANG_TIMEOUT

ROOT = Path(__file__).parents[3]
SCALARS = ("str", "int", "float", "bool", "date", "is-instance")
BUILT = """
import json, sys
from proxy.config.loading import parse
from proxy.config.section import Section

def sections(above):
    for each in above.__subclasses__():
        yield each
        yield from sections(each)

built = []
for text in (None, *sys.argv[1:]):
    if text is not None:
        parse(text, {})
    built.append(sorted(each.__name__ for each in sections(Section) if each.__pydantic_complete__))
print(json.dumps(built))
"""
WITHOUT_TOKENIZER = """
import os, tokenize
from pathlib import Path
from proxy.config.loading import load

del tokenize.tokenize
print(len(load(Path("routing.yaml"), os.environ).routes) > 0)
"""


def output_of(script: str, *arguments: str) -> str:
    run = [sys.executable, "-c", script, *arguments]
    return subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True, timeout=HANG_TIMEOUT).stdout


def schemas_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from schemas_in(each)


def test_function_parses_without_a_second_validator() -> None:
    adapter = TypeAdapter(Annotated[int, ParsedBy(read_count)])
    assert adapter.core_schema["type"] == "function-plain"
    assert adapter.validate_python("1_000") == 1000
    with pytest.raises(ValidationError) as raised:
        adapter.validate_python("many")
    assert [each["type"] for each in raised.value.errors()] == ["value_error"]


def test_file_has_no_second_validator_of_scalars_and_sections() -> None:
    RoutingFile.model_rebuild()
    schemas = [*schemas_in(RoutingFile.__pydantic_core_schema__)]
    parsed = [each for each in schemas if each.get("type") == "function-plain"]
    assert len(parsed) > 50
    doubled = [each for each in schemas if str(each.get("type")).startswith("function-before")]
    assert [each["function"] for each in doubled if each["schema"]["type"] in SCALARS] == []
    models = {each["cls"].__name__ for each in schemas if each.get("type") == "model"}
    assert models & {"Guard", "HealthSettings", "LegacyTls", "PromotionWindow", "Route", "Schedule", "Server"} == set()


def test_validators_are_built_for_the_sections_of_a_file() -> None:
    route = "legacy: {url: http://x}\nroutes: [{name: a, match: GET /a}]\n"
    guarded = f"{route}native: a:b\ndefaults: {{guard: {{window: 1m}}}}\n"
    built = json.loads(output_of(BUILT, "legacy: {url: http://x}", route, guarded))
    assert built == [[], ["RoutingFile"], ["Route", "RoutingFile"], ["Guard", "Route", "RoutingFile"]]


def test_validators_are_built_without_a_tokenizer() -> None:
    assert output_of(WITHOUT_TOKENIZER) == "True\n"
