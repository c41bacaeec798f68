"""A suggestion is the narrowest rule that would hold, with its line and evidence; none if no rule would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.contract.divergences import Divergence
from proxy.contract.model import Contract
from proxy.contract.reading import load
from proxy.contract.tree import Tree, read_tree
from proxy.reports.models import FieldSummary
from proxy.reports.suggestions import evidence, suggest

OPENAPI = """
openapi: 3.1.1
info: {title: Notes, version: '1'}
paths:
  /notes:
    get:
      operationId: notes.list
      responses:
        '204': {description: Nothing}
        '200':
          description: OK
          content:
            text/csv: {}
            application/json:
              schema:
                properties:
                  notes: {type: array, items: {properties: {_id: {type: string}, at: {type: string}}}}
                  tags:
                    oneOf:
                      - {type: 'null'}
                      - {type: array, items: {type: string}}
                  by:
                    additionalProperties: {properties: {age: {type: integer}}}
                  free: {additionalProperties: true}
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Contract, Tree]:
    file = tmp_path_factory.mktemp("contracts") / "openapi.yaml"
    file.write_text(OPENAPI)
    return load(file), read_tree(file)


def differing(field: str, kind: str = "value", noise: int = 0, replays: int = 9, **more: Any) -> FieldSummary:
    given = {"route": "notes", "severity": "major", "count": 12, "declared": 0, "first": 0.0, "last": 1.0, **more}
    operations = given.pop("operations", ("notes.list",))
    return FieldSummary(field=field, kind=kind, noise=noise, replays=replays, operations=operations, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "kind", "rule", "line"),
    [
        ("body.notes.*.at", "value", "x-compare: ignore", "at:"),
        ("body.notes", "order", "x-compare: {key: _id}", "notes:"),
        ("body.tags", "order", "x-compare: unordered", "items: {type: string}"),
        ("body.by.~bcdf.age", "missing", "x-compare: ignore", "age:"),
        ("body", "order", "x-compare: unordered", "schema:"),
    ],
)
def test_noise_suggests_a_rule_for_the_node(
    written: tuple[Contract, Tree], field: str, kind: str, rule: str, line: str
) -> None:
    suggestion = suggest(differing(field, kind, noise=2), *written)
    file, _, number = suggestion.where.rpartition(":")
    assert suggestion.rule == rule
    assert Path(file).name == "openapi.yaml"
    assert line in OPENAPI.splitlines()[int(number) - 1]


@pytest.mark.parametrize(
    ("field", "kind", "note"),
    [
        ("body", "value", "would hide every difference"),
        ("body.unknown", "value", "does not contain this field"),
        ("body.free.~bcdf", "value", "does not contain this field"),
        ("…", "value", "over the limit of a route"),
    ],
)
def test_unsuggestable_noise_has_a_remark(written: tuple[Contract, Tree], field: str, kind: str, note: str) -> None:
    suggestion = suggest(differing(field, kind, noise=2), *written)
    assert (suggestion.rule, suggestion.where) == ("", "")
    assert note in suggestion.remark


def test_missing_contract_suggests_no_rule() -> None:
    assert "no operation for it" in suggest(differing("body.a")).remark
    assert "does not contain this field" in suggest(differing("body.a", noise=1)).remark


def test_removed_operation_has_a_remark(written: tuple[Contract, Tree], tmp_path: Path) -> None:
    other = tmp_path / "openapi.yaml"
    other.write_text(OPENAPI.replace("/notes:", "/other:"))
    suggestion = suggest(differing("body.notes", noise=1), written[0], read_tree(other))
    assert "does not contain this field" in suggestion.remark


@pytest.mark.parametrize("field", ["header.x-powered-by", "body.notes.*.at", "status"])
def test_repeated_legacy_answer_suggests_a_divergence_to_finish(written: tuple[Contract, Tree], field: str) -> None:
    suggestion = suggest(differing(field), *written, statuses=(200, 204), release="1.2")
    [entry] = yaml.safe_load(suggestion.rule)
    divergence = Divergence.model_validate(entry)
    assert (divergence.operation, divergence.since, suggestion.where) == ("GET /notes", "1.2", "divergences.yaml")
    [case] = divergence.when
    assert (case.paths, case.legacy.status, case.native.status) == ((field,), 200, 204)
    assert suggestion.remark == ""


def test_unrepeated_header_suggests_a_divergence(written: tuple[Contract, Tree]) -> None:
    assert suggest(differing("header.etag", "header", noise=3), *written).where == "divergences.yaml"


def test_missing_status_is_omitted_from_the_suggestion(written: tuple[Contract, Tree]) -> None:
    [entry] = yaml.safe_load(suggest(differing("outcome", "outcome"), *written, statuses=(200, 0)).rule)
    assert entry["when"] == {"paths": ["outcome"]}


@pytest.mark.parametrize(
    ("field", "note"), [("body.~bcdf", "hides every fault"), ("body.notes.*", "every difference below")]
)
def test_broad_suggestion_has_a_remark(written: tuple[Contract, Tree], field: str, note: str) -> None:
    suggestion = suggest(differing(field, "missing"), *written, statuses=(200, 200))
    assert note in suggestion.remark
    assert "~" not in suggestion.rule


def test_evidence_names_legacys_own_changes() -> None:
    assert evidence(differing("body.a", replays=0)).endswith(
        "no request of this route was sent to legacy twice (shadow.noise)"
    )
    assert evidence(differing("body.a")).endswith("legacy repeated itself in all of 9 replays")
    assert evidence(differing("body.a", noise=4)).endswith("legacy differed from itself in 4 of 9 replays")
