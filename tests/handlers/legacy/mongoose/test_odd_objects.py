"""Objects with members that every object or mongoose document has, compared with the real library."""

from __future__ import annotations

import re
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import example, given
from hypothesis import strategies as st

from handlers.legacy.javascript import JavaScriptTypeError, Value
from handlers.legacy.models import CONSULTATIONS, PROMPTS
from handlers.legacy.mongoose import Document, MongooseError, Schema, cast_filter
from handlers.legacy.mongoose.inherited import INHERITED, METHODS
from handlers.legacy.mongoose.values import FORBIDDEN
from tests.support.mongoose_documents import read_and_save, show, without_fresh_values
from tests.support.mongoose_oracle import MODULES, Oracle, extended
from tests.support.mongoose_values import KNOWN_ID, OPERANDS, UPDATE_PATHS, many_examples, values

pytestmark = pytest.mark.skipif(not MODULES.is_dir(), reason="the demo legacy's libraries are not installed")

spread_documents = st.dictionaries(
    st.sampled_from(["$__", "_doc", "isMongooseBuffer", "$isMongooseMap", "__index", "a"]), values, max_size=3
)

inherited_names = st.sampled_from(sorted({*INHERITED, "a", "_id"} - FORBIDDEN))
inherited_members = st.dictionaries(inherited_names, st.none() | st.just(1) | st.just({"b": 1}), max_size=2)
nested_members = inherited_members | st.dictionaries(st.just("a"), inherited_members, max_size=1)


def made(schema: Schema, values: dict[str, Any]) -> dict[str, Any]:
    """Return a new document as JSON, and the message of its refusal."""
    native: dict[str, Any] = {}
    try:
        document = Document.create(schema, values)
        native["json"] = show(document)
        document.validate()
    except (MongooseError, JavaScriptTypeError) as error:
        native["error"] = str(error)
    return native


@pytest.mark.parametrize("method", sorted(METHODS))
def test_inherited_methods_make_values_operands(oracle: Oracle, method: str) -> None:
    for path in UPDATE_PATHS[:-1]:
        for operand in OPERANDS[:10] if method != "valueOf" else ():
            filter_ = {path: {"$eq": None, method: operand}}
            answer = oracle.call("filter", model="prompts", filter=filter_)
            if "error" in answer:
                with pytest.raises(JavaScriptTypeError, match=re.escape(answer["error"]["message"])):
                    cast_filter(PROMPTS, filter_)
            else:
                assert extended(cast_filter(PROMPTS, filter_)) == answer["stored"]


@pytest.mark.seeded
def test_objects_resembling_documents_are_set_as_documents(oracle: Oracle) -> None:
    @many_examples
    @given(spread_documents, spread_documents)
    def check(patient: dict[str, Any], clinician: dict[str, Any]) -> None:
        fields: dict[str, Any] = {"patient": [patient, {"nested": patient}], "clinician": clinician}
        for given_fields in (fields, {**fields, "patient": patient}):
            answer = oracle.call("create", model="consultations", values=given_fields)
            native = made(CONSULTATIONS, given_fields)
            assert native.get("error") == answer.get("error", {}).get("message")
            assert without_fresh_values(native.get("json", ""), given_fields) == without_fresh_values(
                answer.get("json", ""), given_fields
            )

    check()


@pytest.mark.seeded
def test_members_named_as_methods_are_shown_as_by_mongoose(oracle: Oracle) -> None:
    @many_examples
    @given(inherited_members, nested_members, nested_members)
    def check(members: dict[str, Any], extra: dict[str, Any], patient: dict[str, Any]) -> None:
        stored = {"clinician": ObjectId(KNOWN_ID), "patient": patient, "extra": extra, **members}
        answer = oracle.call("show", model="consultations", document=extended(stored))
        native: dict[str, Any] = {}
        try:
            native["json"] = show(Document.read(CONSULTATIONS, stored))
        except JavaScriptTypeError as error:
            native["error"] = str(error)
        assert native.get("error") == answer.get("error", {}).get("message")
        assert without_fresh_values(native.get("json"), stored) == without_fresh_values(answer.get("json"), stored)

    check()


SHOWN: list[Any] = [None, {}, {"a": 1}, {"_id": KNOWN_ID, "transcript_text": "t"}, "text", 1, [KNOWN_ID]]
resembling = st.dictionaries(
    st.sampled_from(["$__", "_doc", "isMongooseBuffer", "$isMongooseMap", "a"]),
    st.sampled_from([1, None, {}, {"a": 1}, {"wasPopulated": 1, "a": 2}, {"wasPopulated": 0}, "text", True]),
    max_size=3,
)
UNREADABLE = {"$__": 1}


@pytest.mark.seeded
@pytest.mark.parametrize("members", [nested_members, resembling], ids=["named as methods", "resembling documents"])
def test_embedded_odd_objects_are_read_alike(oracle: Oracle, members: st.SearchStrategy[dict[str, Any]]) -> None:
    @many_examples
    @given(members, st.lists(members, max_size=2))
    @example({"$__": {"wasPopulated": 1}}, [])
    @example({}, [{"$__": {"wasPopulated": 1}}])
    @example({}, [{"$__": {"wasPopulated": 1}, "_doc": None}, UNREADABLE])
    @example({}, [{"$__": {}, "_doc": 1}, UNREADABLE])
    @example({}, [{"a": {"b": {}}, "_doc": {"_id": 5}, "$__": {"wasPopulated": 1, "a": 2}}, UNREADABLE])
    @example({}, [{"$__": {"wasPopulated": 0, "1": [1]}, "_doc": {}}, {"a": 1}, UNREADABLE])
    def check(transcript: dict[str, Any], notes: list[dict[str, Any]]) -> None:
        stored = {"_id": ObjectId(KNOWN_ID), "clinician": ObjectId(KNOWN_ID), "transcript": transcript, "notes": notes}
        answer = oracle.call("read", model="consultations", document=extended(stored), set={"status": "ended"})
        native = read_and_save(CONSULTATIONS, stored, {"status": "ended"}, {})
        expected = {"error": answer.get("error", {}).get("message"), "json": answer.get("json")}
        for name, value in expected.items():  # a message shows the elements with their new dates
            assert without_fresh_values(native.get(name), stored) == without_fresh_values(value, stored)

    check()


@pytest.mark.parametrize("state", [1, 1.5, "text", "", True, False, {}, {"a": 1}, [], [1], None], ids=repr)
@pytest.mark.parametrize("rest", [{}, *({"_doc": shown} for shown in SHOWN)], ids=repr)
def test_object_with_internal_state_is_read_alike(oracle: Oracle, state: object, rest: dict[str, Any]) -> None:
    embedded = {"$__": state, **rest}
    for fields in ({"transcript": embedded}, {"notes": [embedded]}):
        stored = {"_id": ObjectId(KNOWN_ID), "clinician": ObjectId(KNOWN_ID), **fields}
        answer = oracle.call("read", model="consultations", document=extended(stored), set={"status": "ended"})
        native = read_and_save(CONSULTATIONS, stored, {"status": "ended"}, {})
        expected = {"error": answer.get("error", {}).get("message"), "json": answer.get("json")}
        for name, value in expected.items():
            assert without_fresh_values(native.get(name), stored) == without_fresh_values(value, stored)


def test_stored_object_declared_as_id_is_read_unchanged() -> None:
    # The oracle's library cannot store such an object; the demo legacy shows it like this.
    declared: Value = {"_bsontype": "ObjectId"}
    document = Document.read(CONSULTATIONS, {"clinician": declared, "notes": [declared]})
    document.validate()
    assert document.to_json()["clinician"] == declared
    assert document.to_json()["notes"] == [declared]


def test_member_named_as_a_method_fails_validation() -> None:
    document = Document.read(PROMPTS, {"_id": ObjectId(KNOWN_ID), "toString": 1})
    with pytest.raises(JavaScriptTypeError, match="reading 'length'"):
        document.validate()
