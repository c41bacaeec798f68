"""Inferred schemas accept all added values, and are no looser than necessary."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.contract.schemas import Schema
from proxy.inference.inferred_schema import InferredSchema, merged
from proxy.types import JSON
from tests.support.json_values import ID, OTHER_ID, VALUES


@given(st.lists(VALUES, min_size=1, max_size=8))
def test_every_value_satisfies_the_schema(values: list[JSON]) -> None:
    schema = Schema(InferredSchema(values).schema())
    assert [violation for value in values for violation in schema.violations(value)] == []


@given(st.lists(VALUES, max_size=5), st.lists(VALUES, max_size=5))
def test_merged_schema_accepts_the_observed_values(some: list[JSON], others: list[JSON]) -> None:
    schema = Schema(merged([InferredSchema(some), InferredSchema(others)]).schema())
    assert [violation for value in some + others for violation in schema.violations(value)] == []


@pytest.mark.parametrize(
    ("values", "schema"),
    [
        ([{"a": 1}, {"a": 2, "b": None}], {"a": {"type": "integer"}, "b": {"type": "null"}}),
        ([{"a": ID}, {"a": None}], {"a": {"type": ["string", "null"], "format": "objectid"}}),
        ([{"a": [1]}, {"a": [2.5]}], {"a": {"type": "array", "items": {"type": "number"}}}),
        ([{"a": "2026-11-22T19:41:23.111Z"}], {"a": {"type": "string", "format": "date-time"}}),
        ([{"a": "eyJh.eyJi.c"}], {"a": {"type": "string", "format": "jwt"}}),
        ([{"a": []}], {"a": {"type": "array"}}),
    ],
)
def test_absent_null_and_formatted_values_are_inferred(values: list[JSON], schema: JSON) -> None:
    inferred = InferredSchema(values).schema()
    assert inferred["properties"] == schema
    assert inferred["required"] == ["a"]


@pytest.mark.parametrize(
    ("texts", "enum"),
    [
        (["active", "ended"] * 3, ["active", "ended"]),
        (["active", "ended", "active", "ended"], None),  # not often enough
        (["active"] * 9, None),  # one value may be chance
        (["Jane Roe", "Joe Roe"] * 3, None),  # free text
        ([letter for letter in "abcdefghij" for _ in range(3)], None),  # many
    ],
)
def test_enum_is_inferred_from_few_repeated_words(texts: list[str], enum: list[str] | None) -> None:
    assert InferredSchema(texts).schema().get("enum") == enum


def test_merged_schemas_with_too_many_texts_allow_any_text() -> None:
    some, others = ([f"{start}{letter}" for letter in "abcdef"] * 3 for start in "xy")
    assert merged([InferredSchema(some), InferredSchema(others)]).overflown


def test_nullable_enum_accepts_null() -> None:
    schema = InferredSchema(["active", "ended", None] * 3).schema()
    assert schema == {"type": ["string", "null"], "enum": ["active", "ended", None]}


def test_ids_as_names_become_additional_properties() -> None:
    assert InferredSchema([{ID: 1, OTHER_ID: None}]).schema() == {
        "type": "object",
        "additionalProperties": {"type": ["integer", "null"]},
    }
