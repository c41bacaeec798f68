"""The native implementation of mongoose, compared with the real one for values of every type in every position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from handlers.legacy.javascript import UNDEFINED, JavaScriptTypeError, stringify
from handlers.legacy.models import CONSULTATIONS, NOTES, PROMPTS, TRANSCRIPTS, USERS
from handlers.legacy.mongoose import (
    CastError,
    Document,
    IdListPath,
    IdPath,
    MongooseError,
    Schema,
    ValidationError,
    cast_filter,
    cast_update,
)
from handlers.legacy.mongoose.inherited import METHODS
from tests.support.mongoose_documents import ordered, read_and_save, show, without_fresh_values
from tests.support.mongoose_oracle import MODULES, Oracle, extended
from tests.support.mongoose_values import (
    DOUBLES,
    KNOWN_ID,
    OPERANDS,
    UPDATE_PATHS,
    WORDS,
    many_examples,
    scalars,
    values,
)
from tests.support.profile import spread

pytestmark = pytest.mark.skipif(not MODULES.is_dir(), reason="the demo legacy's libraries are not installed")

SCHEMAS = (USERS, CONSULTATIONS, TRANSCRIPTS, NOTES, PROMPTS)
OPERATORS = (
    *("$gt", "$gte", "$lt", "$lte", "$eq", "$ne", "$in", "$nin", "$exists", "$type", "$regex", "$options"),
    *("$not", "$all", "$size", "$elemMatch", "$foo", "$mod"),
)
UPDATE_OPERATORS = (
    *("$set", "$unset", "$inc", "$push", "$addToSet", "$pull", "$pullAll", "$pop", "$rename", "$min", "$max"),
    *("$mul", "$currentDate", "$setOnInsert", "$foo", "$bit"),
)

given_values = values | st.just(UNDEFINED)
storable = st.sampled_from([word for word in WORDS if word != "\ud800"]) | st.none() | st.integers(-3, 2**33)
ids_and_dates = st.sampled_from([ObjectId(KNOWN_ID), ObjectId(b"123456789012"), DatetimeMS(0), DatetimeMS(-1)])
rarities = st.sampled_from(
    [Int64(5), Int64(2**40), Decimal128("1.50"), b"abc", Regex("a/b", "i"), Timestamp(5, 6), float("nan"), True]
)


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw values, arrays of them, and objects that a database can contain."""
    names = st.sampled_from(["a", "b", "1", "_id", "id", "a.b", "$a", "username", "clinician"])
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=4
    )


def stored_in(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    """Draw documents with fields missing, too many, and of the wrong type."""
    leaves = storable | ids_and_dates
    reference = nested(leaves).filter(lambda value: not (isinstance(value, list) and "{" in str(value)))
    anything = nested(leaves | rarities)
    fields: dict[str, st.SearchStrategy[Any]] = {"nonsense": anything, "__v": st.integers(0, 3)}
    for name, path in schema.paths.items():
        if name not in ("_id", "__v"):
            fields[name] = reference if isinstance(path, IdPath | IdListPath) else anything
    return st.fixed_dictionaries({}, optional=fields)


operator_values = st.dictionaries(st.sampled_from(OPERATORS), values, min_size=1, max_size=2)
inherited_values = st.dictionaries(st.sampled_from([*METHODS, "$eq", "$gt", "$foo"]), values, min_size=1, max_size=3)


def fields_of(schema: Schema, held: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    names = [name for name in schema.paths if name not in ("_id", "__v")]
    return st.dictionaries(st.sampled_from([*names, *names, "nonsense"]), held, max_size=len(names))


@pytest.fixture(scope="module")
def updating() -> Iterator[Oracle]:
    """Start a mongoose for updates alone: updating an array's element changes its errors of later filters."""
    process = Oracle()
    yield process
    process.close()


def words_in(value: object) -> Iterator[str]:
    """Return the names of fields anywhere in a value."""
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from words_in(item)
    if isinstance(value, dict):
        yield from value


def unremarkable(value: object) -> bool:
    """Return whether no field has the name of an inherited property, on which updates fail in irrelevant ways."""
    return not {"constructor", "toString", "valueOf"}.intersection(words_in(value))


def sendable(value: object) -> bool:
    """Return whether no operator's operand becomes the path's own type, as `valueOf` makes it."""
    return not isinstance(value, dict) or "valueOf" not in value


def refusal(error: MongooseError) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": error.name, "message": error.message}
    if isinstance(error, CastError):
        shown["json"] = stringify(error.to_json())
    return shown


def plain(error: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**error, "name": "MongooseError"} if error["name"] == "Error" else error


@pytest.mark.seeded
@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.model)
def test_created_documents_are_those_of_mongoose(oracle: Oracle, schema: Schema) -> None:
    @many_examples
    @given(fields_of(schema, given_values))
    def check(fields: dict[str, Any]) -> None:
        answer = oracle.call("create", model=schema.model, values=fields)
        document = Document.create(schema, fields)
        native: dict[str, Any] = {}
        try:
            document.validate()
        except ValidationError as error:
            native = {"error": refusal(error), "json": show(document)}
        else:
            native["json"] = show(document)
            native["stored"] = {k: v for k, v in extended(document.to_insert()).items() if k != "__v"}
        assert without_fresh_values(native.get("json", ""), fields) == without_fresh_values(
            answer.get("json", ""), fields
        )
        assert native.get("error") == answer.get("error")
        assert without_fresh_values(native.get("stored"), fields) == without_fresh_values(answer.get("stored"), fields)

    check()


@pytest.mark.seeded
@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.model)
def test_filters_are_cast_as_by_mongoose(oracle: Oracle, schema: Schema) -> None:
    names = st.sampled_from([*(name for name in schema.paths if name != "__v"), "nonsense"])
    held = (given_values | operator_values | inherited_values).filter(sendable)

    @many_examples
    @given(st.dictionaries(names, held, max_size=2))
    def check(filter_: dict[str, Any]) -> None:
        answer = oracle.call("filter", model=schema.model, filter=filter_)
        try:
            native: dict[str, Any] = {"stored": extended(cast_filter(schema, filter_))}
        except MongooseError as error:
            native = {"error": refusal(error)}
        except JavaScriptTypeError as error:
            native = {"error": {"name": "TypeError", "message": str(error)}}
        if "error" in answer:
            answer["error"] = plain(answer["error"])
            if answer["error"]["name"] == "AssertionError":  # from within the library, with its source line
                assert "error" in native
                return
            if "TypeError" in (answer["error"]["name"], native.get("error", {}).get("name")):
                answer["error"].pop("json", None)
        assert native == answer

    check()


def assert_updated(schema: Schema, update: dict[str, Any], answer: dict[str, Any]) -> None:
    """Assert that an update stores what mongoose answers, or is refused as by it."""
    try:
        native: dict[str, Any] = {"stored": extended(cast_update(schema, update))}
    except (MongooseError, JavaScriptTypeError):
        native = {"error": "refused"}
    if "error" in answer:
        answer["error"] = "refused"
    assert native == answer, update


@pytest.mark.seeded
@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.model)
def test_updates_are_cast_as_by_mongoose(updating: Oracle, schema: Schema) -> None:
    arrays = [name for name, path in schema.paths.items() if isinstance(path, IdListPath)]
    dotted = [f"{name}.0" for name in arrays] + ["patient.a", "summary.b.c", "body.x"]
    held = given_values.filter(unremarkable)
    fields = st.dictionaries(st.sampled_from([*schema.paths, "nonsense", *dotted]), held, max_size=3)
    operations = st.dictionaries(st.sampled_from(UPDATE_OPERATORS), scalars | fields, max_size=2)

    @many_examples
    @given(fields, operations)
    def check(plain_fields: dict[str, Any], operators: dict[str, Any]) -> None:
        update = {**plain_fields, **operators}
        assert_updated(schema, update, updating.call("update", model=schema.model, update=update))

    check()


@pytest.mark.seeded
@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.model)
def test_stored_documents_are_read_and_saved_as_by_mongoose(oracle: Oracle, schema: Schema) -> None:
    arrays = [name for name, path in schema.paths.items() if isinstance(path, IdListPath)]
    settable = [name for name in schema.paths if name not in ("_id", "__v")]

    @many_examples
    @given(stored_in(schema), st.dictionaries(st.sampled_from(settable), values, max_size=2), st.booleans())
    def check(stored: dict[str, Any], changed: dict[str, Any], pushed: bool) -> None:
        stored = {"_id": ObjectId(KNOWN_ID), **stored}
        push = {arrays[0]: KNOWN_ID} if arrays and pushed else {}
        answer = oracle.call("read", model=schema.model, document=extended(stored), set=changed, push=push)
        if "delta" in answer:
            answer["delta"] = ordered(answer["delta"])
        inputs = [extended(stored), changed]
        native = read_and_save(schema, stored, changed, push)
        for name in ("json", "changed", "delta"):
            if name in answer or name not in native:
                assert without_fresh_values(native.get(name), inputs) == without_fresh_values(answer.get(name), inputs)
        assert native.get("error") == answer.get("error", {}).get("message")

    check()


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_of_a_filter_with_operands_of_every_kind(oracle: Oracle, operator: str) -> None:
    every = [{path: {operator: operand}} for path in UPDATE_PATHS for operand in OPERANDS]
    filters = spread(every, OPERATORS.index(operator) % 2, 2)
    answers = oracle.call_all("filter", ({"model": "prompts", "filter": filter_} for filter_ in filters))
    for filter_, answer in zip(filters, answers, strict=True):
        try:
            native: dict[str, Any] = {"stored": extended(cast_filter(PROMPTS, filter_))}
        except MongooseError as error:
            native = {"error": refusal(error)}
        if "error" in answer:
            answer["error"] = plain(answer["error"])
            if answer["error"]["name"] == "AssertionError":  # from within the library, with its source line
                assert "error" in native
                continue
        assert native == answer, filter_


@pytest.mark.parametrize("operator", UPDATE_OPERATORS)
def test_every_operator_of_an_update_with_operands_of_every_kind(updating: Oracle, operator: str) -> None:
    dotted = ("transcript_ids.0", "transcript_ids.$", "transcript_ids.x", "prompt_name.x", "a.b", "__v", "_id")
    inherited = ("toString", "valueOf", "hasOwnProperty", "toString.x", "isPrototypeOf.0")
    paths = (*UPDATE_PATHS, *dotted, *inherited)
    every = [{operator: {path: operand}} for path in paths for operand in (*OPERANDS, *DOUBLES, DOUBLES[:1])]
    updates = spread(every, UPDATE_OPERATORS.index(operator) % 2, 2)
    answers = updating.call_all("update", ({"model": "prompts", "update": update} for update in updates))
    for update, answer in zip(updates, answers, strict=True):
        assert_updated(PROMPTS, update, answer)


ODD_UPDATES: list[dict[str, Any]] = [
    {"$set": 5, "prompt_name": "x"},
    {"$set": None, "prompt_name": "x"},
    {"$set": {"prompt_text": "a"}, "prompt_name": "x", "nonsense": 1},
    {"$set": []},
    *({name: {}, "prompt_name": "x"} for name in ("toString", "valueOf", "hasOwnProperty")),
    {"toString": {"length": 1}, "prompt_name": "x"},
    {"toString": {"name": {}}, "prompt_name": "x"},
    {"toString": {"valueOf": "x"}, "prompt_name": "x"},
    {"toString": {"x": 1}, "prompt_name": "x"},
    {"toString": [1], "prompt_name": "x"},
    {"toString": 1, "prompt_name": "x"},
    {"$set": {"_bsontype": "Double", "value": 5}},
    {"$inc": {"_bsontype": "Double", "value": 5}, "prompt_name": "x"},
    *(
        {operator: {"constructor": value}}
        for operator in ("$set", "$inc", "$unset", "$pull")
        for value in (1, {"name": "x"})
    ),
    {"$unset": 5},
    {"$inc": [1, 2]},
    {"$min": {"prompt_name": {"x": 1, "y.z": 2}}},
    {"$mul": {"nonsense": {"x": 1}, "prompt_name": {"a.b.c": 5}}},
    {"$max": {"prompt_name": {"a": 1, "a.b": 2}}},
    {"$rename": {"nonsense": None, "prompt_name": None}},
    {"$rename": {"prompt_name": {"a": 1}}},
    {"$push": {"$each": 5}},
    {"$currentDate": {"created_at": True, "updated_at": {"$type": "date"}}},
    {"$addToSet": {"transcript_ids": KNOWN_ID, "prompt_name": ["a"]}},
    {"created_at": None, "updated_at": UNDEFINED, "transcript_ids": None},
    {"__proto__": 1, "constructor": 2, "prompt_name": {"_id": "a"}},
    {"$__": 1, "prompt_name": "a"},
    {"$__": 1, "_doc": {"prompt_name": "a"}, "prompt_text": "b"},
    {"$set": {"prompt_name": "a", "transcript_ids": {"$__": 1}}},
    *(
        {f"transcript_ids.{item}": KNOWN_ID}
        for item in ("00", "²", "٣", "1²", "$[]", "$[a]", "$[", "$a", "$[a]b", "-1")
    ),
]


@pytest.mark.parametrize("update", ODD_UPDATES, ids=str)
def test_unusual_updates_cast_as_by_mongoose(updating: Oracle, update: dict[str, Any]) -> None:
    answer = updating.call("update", model="prompts", update=update)
    if "error" in answer:
        with pytest.raises((MongooseError, JavaScriptTypeError)):
            cast_update(PROMPTS, update)
    else:
        assert extended(cast_update(PROMPTS, update)) == answer["stored"]
