"""Objects that name their class in a field, cloned as by the real library."""

from __future__ import annotations

from typing import Any, Final

import pytest
from bson import ObjectId, Regex
from hypothesis import given
from hypothesis import strategies as st

from handlers.legacy.javascript import JavaScriptTypeError, to_string
from handlers.legacy.models import CONSULTATIONS, PROMPTS, TRANSCRIPTS, USERS
from handlers.legacy.mongoose import Document, MongooseError, cast_filter, cast_update
from handlers.legacy.mongoose.object_classes import clone_of_class
from tests.support.mongoose_documents import show, without_fresh_values
from tests.support.mongoose_oracle import MODULES, Oracle, extended
from tests.support.mongoose_values import KNOWN_ID, many_examples

pytestmark = pytest.mark.skipif(not MODULES.is_dir(), reason="the demo legacy's libraries are not installed")

_NAMES: Final[st.SearchStrategy[Any]] = st.sampled_from(
    ["Object", "Date", "RegExp", "ObjectId", "Buffer", 5, True, "", None, [], {}, ["Object"]]
)
_FUNCTIONS: Final[st.SearchStrategy[Any]] = st.sampled_from(
    [
        *("function Object(", "function\xa0Date(x", " function RegExp", "function (", "Object", "function\x1cDate("),
        *(["function Object("], [{"toString": 1}], [], 0, 1, False, None, "", {}),
    ]
)
_SOURCES: Final[st.SearchStrategy[Any]] = st.sampled_from(
    [
        "a(",
        "a)",
        "[b",
        "[]",
        "*",
        "\\",
        "(?:a|[)])+",
        "(?<n>a)",
        "a",
        "a/b",
        "[/]",
        "\n",
        "a\\\u2028",
        "",
        None,
        5,
        ["x"],
        {"toString": 1},
    ]
)
_FLAGS: Final[st.SearchStrategy[Any]] = st.sampled_from(["", "i", "gim", "dsy", "q", "ii", "uv", None, []])
_IDS: Final[st.SearchStrategy[Any]] = st.sampled_from(
    [KNOWN_ID, KNOWN_ID.upper(), "abc", True, [], {}, {"id": KNOWN_ID}, {"id": 5}]
)
classes = st.one_of(
    _FUNCTIONS,
    st.fixed_dictionaries({}, optional={"name": _NAMES, "toString": st.just("x")}),
)
objects = st.fixed_dictionaries(
    {"constructor": classes},
    optional={
        "source": _SOURCES,
        "flags": _FLAGS,
        "_bsontype": st.sampled_from(["ObjectId", "Decimal128"]),
        "id": _IDS,
        "valueOf": st.just(1),
        "toString": st.just(1),
        "a": st.just({}),
    },
)
nested = objects | st.lists(objects, max_size=2) | st.fixed_dictionaries({"a": objects, "b": st.just(1)})


def _unified(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer with any error as one."""
    return {"error": "refused"} if "error" in answer else {"stored": answer["stored"]}


def _updates(field: str, value: Any) -> list[Any]:
    """Return updates with a value of a field, as the operand of an operator, and as a whole."""
    operators = ("$set", "$unset", "$min", "$push", "$pull", "$currentDate")
    whole = [{"$inc": value}, {"$unset": value}, {**value, field: "x"}] if isinstance(value, dict) else []
    return [{field: value}, *({operator: {field: value}} for operator in operators), *whole]


@pytest.mark.seeded
@pytest.mark.parametrize("field", ["prompt_name", "clinician", "created_at", "is_shareable", "transcript_ids"])
def test_updates_clone_objects_by_their_class(oracle: Oracle, field: str) -> None:
    @many_examples
    @given(nested)
    def check(value: Any) -> None:
        for update in _updates(field, value):
            answer = _unified(oracle.call("update", model="prompts", update=update))
            try:
                native: dict[str, Any] = {"stored": extended(cast_update(PROMPTS, update))}
            except (MongooseError, JavaScriptTypeError):
                native = {"error": "refused"}
            assert without_fresh_values(_unified(native), update) == without_fresh_values(answer, update)

    check()


@pytest.mark.seeded
def test_documents_clone_objects_by_their_class(oracle: Oracle) -> None:
    @many_examples
    @given(nested)
    def check(patient: Any) -> None:
        fields = {"clinician": KNOWN_ID, "patient": patient}
        answer = oracle.call("create", model="consultations", values=fields)
        native: dict[str, Any] = {}
        try:
            document = Document.create(CONSULTATIONS, fields)
            native["stored"] = {k: v for k, v in extended(document.to_insert()).items() if k != "__v"}
        except (MongooseError, JavaScriptTypeError) as error:
            native = {"error": str(error)}
        assert without_fresh_values(_unified(native), fields) == without_fresh_values(_unified(answer), fields)

    check()


@pytest.mark.seeded
def test_stored_objects_are_shown_by_their_class(oracle: Oracle) -> None:
    @many_examples
    @given(objects.filter(lambda drawn: "_bsontype" not in drawn))
    def check(summary: Any) -> None:
        stored = {"_id": ObjectId(KNOWN_ID), "summary": summary}
        answer = oracle.call("show", model="transcripts", document=stored)
        try:
            native: dict[str, Any] = {"json": show(Document.read(TRANSCRIPTS, stored))}
        except (MongooseError, JavaScriptTypeError) as error:
            native = {"error": str(error)}
        message = answer.get("error", {}).get("message", "")
        assert ("error" in native) == bool(message)
        assert message.startswith(native.get("error", ""))  # V8 adds what is wrong in a regular expression
        assert without_fresh_values(native.get("json"), stored) == without_fresh_values(answer.get("json"), stored)

    check()


@pytest.mark.parametrize(
    "update",
    [
        {"$set": {"constructor": {"name": "RegExp"}}, "prompt_name": "x"},
        {"$set": {"constructor": None, "_bsontype": "ObjectId"}, "prompt_name": "x"},
        {"$push": {"transcript_ids": {"$each": [{"constructor": {"name": "RegExp"}}]}}},
        {"toString": {"a": {"constructor": {"name": "Date"}}}, "prompt_name": "x"},
        {"toString": {"$isMongooseMap": True}, "prompt_name": "x"},
    ],
)
def test_instances_in_place_of_fields_are_refused(update: Any) -> None:
    with pytest.raises((MongooseError, JavaScriptTypeError)):
        cast_update(PROMPTS, update)


@pytest.mark.parametrize(
    "email",
    [
        {"_bsontype": "BSONRegExp"},
        {"$in": [{"_bsontype": "BSONRegExp", "pattern": "a"}]},
        {"$not": {"_bsontype": "BSONRegExp"}},
        {"$regex": {"_bsontype": "BSONRegExp"}},
        {"$eq": {"_bsontype": "BSONRegexp"}},
    ],
)
def test_declared_regular_expressions_pass_filters(oracle: Oracle, email: Any) -> None:
    answer = oracle.call("filter", model="users", filter={"email": email})
    with pytest.raises(MongooseError) as caught:
        cast_filter(USERS, {"email": email})
    assert str(caught.value) == answer["error"]["message"]


def test_declared_id_without_digits_is_new() -> None:
    made = [clone_of_class({"constructor": None, "_bsontype": "ObjectId", "id": given}) for given in (5.9, -1, None)]
    assert all(isinstance(identity, ObjectId) for identity in made)
    assert [str(identity)[:8] for identity in made[:2]] == ["00000005", "ffffffff"]


@pytest.mark.parametrize("source", ["(" * 450 + ")" * 450, "a{99999999999}", "[" * 2_000, "[[a]"])
def test_sources_beyond_the_check_are_accepted(source: str) -> None:
    assert clone_of_class({"constructor": {"name": "RegExp"}, "source": source}) == Regex(source, 0)


def test_long_sources_and_flags_are_refused_at_once() -> None:
    flags = "".join(map(chr, range(0x4E00, 0x9E00))) * 50
    for source, given_flags in (("[\\" * 500_000, ""), ("a", flags)):
        with pytest.raises(MongooseError):
            clone_of_class({"constructor": {"name": "RegExp"}, "source": source, "flags": given_flags})


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("a\u2028", "/a\\u2028/"),
        ("a\\\n", "/a\\n/"),
        ("a\\\\\r", "/a\\\\\\r/"),
        ("[/]/", "/[/]\\//"),
        ("", "/(?:)/"),
        ("[" + "\\" * 4_001, "/[" + "\\" * 4_001 + "/"),
    ],
)
def test_source_of_a_regular_expression_has_no_line_breaks(pattern: str, text: str) -> None:
    assert to_string(Regex(pattern)) == text
