"""The quick look says yes only where the walk finds nothing, and does say so where all that differs are new ids."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from proxy.comparison.correspondence import Correspondence
from proxy.comparison.exchanges import compare
from proxy.comparison.fast_path import is_equivalent
from proxy.comparison.values import compare_values
from proxy.types import JSON
from tests.proxy.comparison.test_values import rename_id, renamed, values
from tests.support.exchanges import NOW, answered, object_id, operation, properties

A, B, C = map(object_id, range(3))
X, Y, Z = map(object_id, range(10, 13))


def names() -> Correspondence:
    return Correspondence(NOW * 1000, NOW * 1000, fresh=60_000)


def alike(one: JSON, other: JSON) -> bool:
    ours, theirs = (json.dumps(side, separators=(",", ":")).encode() for side in (one, other))
    return is_equivalent(ours, theirs, names)


@given(values, values)
def test_what_is_alike_differs_nowhere(one: JSON, other: JSON) -> None:
    pairs: list[tuple[JSON, JSON]] = [(one, other), (one, renamed(one, rename_id)), ([one, other], [other, one])]
    for legacy, native in pairs:
        if alike(legacy, native):
            assert compare_values(legacy, native, names).differences == []


@given(values)
def test_it_is_symmetric(one: JSON) -> None:
    other = renamed(one, rename_id)
    assert alike(one, other) == alike(other, one)


@pytest.mark.parametrize(
    ("legacy", "native"),
    [
        ({"_id": A, "by": B, "again": A}, {"_id": X, "by": Y, "again": X}),
        ({"_id": A, "by": C}, {"_id": X, "by": C}),
        ([{"_id": A}, {"_id": B}], [{"_id": X}, {"_id": Y}]),
        ({"at": "2026-11-22T19:41:09.000Z"}, {"at": "2026-11-22T19:41:09.250Z"}),
        ({"msg": f"note {A} of {B}"}, {"msg": f"note {X} of {Y}"}),
    ],
)
def test_new_ids_and_dates_need_no_walk(legacy: JSON, native: JSON) -> None:
    assert alike(legacy, native)


@pytest.mark.parametrize(
    ("legacy", "native"),
    [
        ({"_id": A, "by": A}, {"_id": X, "by": Y}),
        ({"_id": A, "by": A}, {"_id": X, "by": A}),
        ({"_id": A, "msg": f"note {A} is there"}, {"_id": X, "msg": f"note {A} is there"}),
        ({"_id": A, "msg": f"is {A[:-1]}"}, {"_id": X, "msg": f"is {A[:-1]}"}),
        ([{"_id": A}, {"_id": B}], [{"_id": B}, {"_id": A}]),
        ({A: 1}, {X: 1}),
        ({"a": f"x\n{A}"}, {"a": f"x\n{X}"}),
        ({"a": 1}, {"a": 2}),
        ({"a": "x"}, {"a": "x", "b": "y"}),
    ],
)
def test_anything_else_is_left_to_the_walk(legacy: JSON, native: JSON) -> None:
    assert not alike(legacy, native)


def test_a_name_before_spaces_and_a_colon_is_a_name() -> None:
    ours, theirs = (f'{{"{each}" : 1}}'.encode() for each in (A, X))
    assert not is_equivalent(ours, theirs, names)


def test_what_a_rule_hides_is_still_told() -> None:
    hiding = operation(properties(_id={"type": "string", "x-compare": "ignore"}, by={"type": "string"}))
    one, other = answered({"_id": A, "by": B}), answered({"_id": X, "by": Y})
    assert compare(one, other, hiding).hidden == (("body", "_id"),)
    assert compare(one, other, operation(properties(by={"type": "string"}))).hidden == ()
