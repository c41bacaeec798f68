"""Updates with unknown and dotted names, whose paths mongoose lists, compared with the real one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.legacy.javascript import JavaScriptTypeError
from handlers.legacy.models import PROMPTS
from handlers.legacy.mongoose import MongooseError, cast_update
from tests.support.mongoose_documents import without_fresh_values
from tests.support.mongoose_oracle import MODULES, Oracle, extended
from tests.support.mongoose_values import KNOWN_ID, many_examples

pytestmark = pytest.mark.skipif(not MODULES.is_dir(), reason="the demo legacy's libraries are not installed")

NAMES = st.sampled_from(
    [
        *("a", "a.b", "a.b.c", "a.0", "nonsense", "$each", "$set", "updated_at", "clinician"),
        *("a.$[x]", "a.$[x].b.$[x]", "x.$[x]", "b.$[y].$[x]", "$[x]", "$[x].$[x]", "$[x].b.$[x]"),
        *("$[]", "a.$[].$[]", "a.$[x", "b].$[x]", "$[x$[x]", "$[$[x]]"),
        *("constructor", "constructor.b", "a.constructor", "a.prototype.c", "prototype.a.b", "__proto__.b"),
        *("prompt_name", "prompt_name.x", "transcript_ids.0", "transcript_ids.$[x].$[x]", "a.__proto__", "$__"),
    ]
)
LEAVES: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, 0, 1, "x", KNOWN_ID, True, "2020-01-01", [], {}),
        *({"$__": 1}, {"$__": None}, {"isMongooseBuffer": 1}, {"isMongooseBuffer": 0}, {"$isMongooseMap": True}),
        *({"$__": {}, "_doc": {"a": 1}}, {"_bsontype": "ObjectId"}, {"_bsontype": "Decimal128"}),
    ]
)
CLASSES: st.SearchStrategy[Any] = st.sampled_from([True, 1, {}, {"name": "Class"}, "function Class("])
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(NAMES, inner, max_size=3),
        st.tuples(st.dictionaries(NAMES, inner, max_size=2), CLASSES).map(lambda d: {**d[0], "constructor": d[1]}),
    ),
    max_leaves=6,
)
FIELDS = st.dictionaries(st.sampled_from([*PROMPTS.paths]) | NAMES, VALUES, max_size=2)
OPERATORS = st.sampled_from(
    [
        *("$set", "$min", "$max", "$mul", "$inc", "$push", "$addToSet", "$pull", "$pullAll", "$pop", "$unset"),
        *("$rename", "$setOnInsert", "$currentDate", "$bit"),
    ]
)


def assert_cast_alike(oracle: Oracle, update: dict[str, Any]) -> None:
    answer = oracle.call("update", model="prompts", update=update)
    expected = {"error": "refused"} if "error" in answer else answer
    try:
        native: dict[str, Any] = {"stored": extended(cast_update(PROMPTS, update))}
    except (MongooseError, JavaScriptTypeError):
        native = {"error": "refused"}
    if native != expected:
        assert without_fresh_values(native, update) == without_fresh_values(expected, update)


@pytest.mark.parametrize(
    "update",
    [
        {"a.$[x].$[x]": 1},
        {"$set": {"prompt_name": {"a.$[x].$[x]": 1}, "nonsense": 1}},
        {"$set": {"prompt_name.$[x].$[x]": 1}},
        {"nonsense": {"a": {"$[x]": 1, "b": {"$[x]": [{"$[x]": 1}]}}}},
        {"$unset": {"constructor": True, "nonsense": {"$__": 1}}},
        {"nonsense": {"constructor": {"isMongooseBuffer": []}}},
        {"$mul": {"updated_at": {"constructor.name": 1}}},
        {"$mul": {"updated_at": {"a": 1, "a.b": 2, "b": None, "b.c": 3, "a.b.c": 4}}},
        {"$min": {"prompt_name": {"a": "x", "a.b": 2}}},
        {"$min": {"clinician": {"a": KNOWN_ID, "a.b": KNOWN_ID}}},
        {"__proto__.b": 1},
        {"$pop": {"__proto__.b": {}}},
    ],
    ids=str,
)
def test_unknown_and_dotted_names_cast_as_by_mongoose(oracle: Oracle, update: dict[str, Any]) -> None:
    assert_cast_alike(oracle, update)


@pytest.mark.seeded
def test_any_names_cast_as_by_mongoose(oracle: Oracle) -> None:
    @many_examples
    @given(FIELDS, st.dictionaries(OPERATORS, FIELDS, max_size=2))
    def check(plain_fields: dict[str, Any], operators: dict[str, Any]) -> None:
        assert_cast_alike(oracle, {**plain_fields, **operators})

    check()
