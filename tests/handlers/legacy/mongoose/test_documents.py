"""Documents from creation to their save, by example: order, defaults, errors, versions."""

from __future__ import annotations

import pytest
from bson import Code, Int64, ObjectId, Regex
from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript import UNDEFINED, JavaScriptTypeError, Value, stringify
from handlers.legacy.models import CONSULTATIONS, NOTES, PROMPTS, TRANSCRIPTS, USERS
from handlers.legacy.mongoose import (
    CastError,
    Document,
    DocumentNotFoundError,
    MongooseError,
    Schema,
    ValidationError,
    VersionError,
    after,
    by_id,
    cast_filter,
    cast_update,
    to_bson,
)

CLINICIAN, IDENTITY, NOTE = (ObjectId(f"64b7f0f0f0f0f0f0f0f0f0f{n}") for n in range(3))
STORED: dict[str, Value] = {"_id": IDENTITY, "clinician": CLINICIAN, "notes": [NOTE], "status": "active", "__v": 2}


def refused(document: Document) -> str:
    with pytest.raises(ValidationError) as raised:
        document.validate()
    return str(raised.value)


def test_new_document_has_schema_order_with_late_defaults_last() -> None:
    document = Document.create(CONSULTATIONS, {"patient": {"a": {}}, "clinician": str(CLINICIAN), "extra": 1})
    assert list(document.to_insert()) == ["clinician", "notes", "status", "_id", "started_at", "__v"]
    document.set("transcript", str(NOTE))
    assert list(document.to_json()) == ["clinician", "notes", "status", "_id", "started_at", "__v", "transcript"]


def test_undefined_field_gets_its_default_and_null_stays() -> None:
    document = Document.create(PROMPTS, {"is_shareable": UNDEFINED, "is_deleted": None, "prompt_name": UNDEFINED})
    assert (document.get("is_shareable"), document.get("is_deleted")) == (False, None)
    assert refused(document) == (
        "prompts validation failed: clinician: Path `clinician` is required., "
        "prompt_text: Path `prompt_text` is required., prompt_name: Path `prompt_name` is required."
    )


def test_both_dates_of_a_new_document_are_equal() -> None:
    notes = [Document.create(NOTES, {}) for _ in range(3000)]  # during which the clock advances many times
    assert all(isinstance(note.get("created_at"), DatetimeMS) for note in notes)
    assert [note for note in notes if note.get("created_at") != note.get("updated_at")] == []


def test_document_in_place_of_an_id_has_the_date_of_its_reader() -> None:
    for _ in range(3000):  # during which the clock advances many times
        note = Document.read(NOTES, {"_id": NOTE, "clinician": {"_id": CLINICIAN, "username": "amara"}})
        clinician: object = note.get("clinician")
        assert isinstance(clinician, Document)
        assert clinician.get("createdAt") == note.get("created_at") == note.get("updated_at")


@pytest.mark.parametrize(("moment", "later"), [(4998, 5000), (4999, 5000), (5000, 5001), (7000, 7001)])
def test_later_date_is_at_least_a_millisecond_later(moment: int, later: int) -> None:
    assert after(DatetimeMS(moment), lambda: DatetimeMS(5000)) == DatetimeMS(later)


def test_failed_cast_is_reported_with_its_reason() -> None:
    note = Document.create(NOTES, {"body": {"a": 1}, "transcript": "bad", "clinician": CLINICIAN})
    assert refused(note) == (
        'notes validation failed: transcript: Cast to ObjectId failed for value "bad" (type string) at path '
        '"transcript" because of "BSONError", body: Cast to string failed for value "{ a: 1 }" (type Object) at '
        'path "body", consultation: Path `consultation` is required.'
    )
    note.set("body", "text")
    note.set("transcript", NOTE)
    note.set("consultation", NOTE)
    note.validate()


def test_role_outside_the_enum_is_refused() -> None:
    values: dict[str, Value] = {"username": "a", "email": "A@B", "password": "p", "role": "`$&` {LENGTH}" + "x" * 30}
    user = Document.create(USERS, values)
    assert refused(user) == (
        "users validation failed: role: ``{VALUE}` 43xxxxxxxxxxxxxxxxx...` is not a valid enum value for path `role`."
    )
    assert user.get("email") == "a@b"


def test_stored_document_gets_defaults_without_uncastable_fields() -> None:
    read = Document.read(
        CONSULTATIONS, {"_id": IDENTITY, "clinician": "bad", "patient": {}, "__proto__": 1, "2": 1, "1": {}}
    )
    assert list(read.to_json()) == ["2", "notes", "status", "_id", "started_at"]
    assert refused(read).startswith("consultations validation failed: clinician: Cast to ObjectId failed")


def test_selection_applies_defaults_of_selected_fields() -> None:
    assert Document.read(USERS, {"_id": IDENTITY, "username": 5}, ("username", "notes")).to_json() == {
        "notes": [],
        "_id": IDENTITY,
        "username": "5",
    }


def test_push_increments_the_version_and_replacing_requires_it() -> None:
    pushed = Document.read(CONSULTATIONS, {**STORED, "started_at": DatetimeMS(5000)})
    pushed.push("notes", str(CLINICIAN))
    changes = pushed.changes()
    assert changes is not None
    assert changes.where == {"_id": IDENTITY}
    assert changes.update == {"$push": {"notes": {"$each": [CLINICIAN]}}, "$inc": {"__v": 1}}
    assert isinstance(pushed.conflict(changes), VersionError)
    assert str(pushed.conflict(changes)).endswith('version 2 modifiedPaths "notes"')
    pushed.saved(changes)
    assert (pushed.get("__v"), pushed.changes()) == (3, None)
    pushed.set("notes", [])
    changes = pushed.changes()
    assert changes is not None
    assert changes.where == {"_id": IDENTITY, "__v": 3}
    pushed.push("notes", NOTE)
    changes = pushed.changes()
    assert changes is not None
    assert changes.update == {"$set": {"notes": [NOTE]}, "$inc": {"__v": 1}}


@pytest.mark.parametrize("version", [float("inf"), float("nan"), 0.5])
def test_odd_version_is_counted_by_the_database(version: float) -> None:
    pushed = Document.read(CONSULTATIONS, {**STORED, "__v": version})
    pushed.push("notes", NOTE)
    changes = pushed.changes()
    assert changes is not None
    assert changes.update["$inc"] == {"__v": 1}


def test_pattern_is_saved_as_its_regexp() -> None:
    stored: Value = {"a": Regex("a/b", "ix"), "b": Regex("", "m")}
    assert to_bson(stored) == {"a": Regex("a\\/b", "i"), "b": Regex("(?:)", "m")}


@pytest.mark.parametrize(("notes", "what"), [(None, "null"), (["bad"], "undefined")])
def test_push_to_a_missing_array_is_a_type_error(notes: Value, what: str) -> None:
    document = Document.read(CONSULTATIONS, {**STORED, "notes": notes})
    with pytest.raises(JavaScriptTypeError, match=f"^Cannot read properties of {what} "):
        document.push("notes", NOTE)
    with pytest.raises(TypeError):
        document.push("status", NOTE)


def test_save_writes_set_fields_and_defaults() -> None:
    transcript = Document.read(TRANSCRIPTS, {"_id": IDENTITY, "summary": "old", "clinician": CLINICIAN})
    transcript.set("summary", UNDEFINED)
    transcript.set("clinician", str(CLINICIAN))
    transcript.set("updated_at", 5)
    changes = transcript.changes()
    assert changes is not None
    assert changes.update["$unset"] == {"summary": 1}
    assert changes.update["$set"] == {"updated_at": DatetimeMS(5), "created_at": transcript.get("created_at")}
    assert isinstance(transcript.conflict(changes), DocumentNotFoundError)
    transcript.set("summary", {"a": {}, "b": [{}], "c": 2**31})
    changes = transcript.changes()
    assert changes is not None
    assert changes.update["$set"]["summary"] == {"b": [{}], "c": float(2**31)}  # type: ignore[index]


def test_document_in_place_of_an_id_is_populated() -> None:
    read = Document.read(
        NOTES, {"_id": NOTE, "clinician": {"_id": CLINICIAN, "username": 5}, "transcript": Int64(2**60)}
    )
    shown = read.to_json()
    assert stringify(shown["clinician"]).startswith(f'{{"prompts":[],"notes":[],"transcripts":[],"_id":"{CLINICIAN}"')
    assert '"low":0,"high":268435456,"unsigned":false' in stringify(shown["transcript"])
    assert "transcript: Path `transcript` is required." in refused(read)


def test_filters_name_the_model_and_updates_do_not() -> None:
    with pytest.raises(CastError) as raised:
        cast_filter(PROMPTS, {"_id": "abc", "clinician": {"$in": [str(CLINICIAN)]}})
    message = 'Cast to ObjectId failed for value "abc" (type string) at path "_id"'
    assert str(raised.value) == f'{message} for model "prompts"'
    with pytest.raises(CastError) as raised:
        cast_update(PROMPTS, {"_id": "abc"})
    assert str(raised.value) == f'{message} because of "BSONError"'


def outcome(schema: Schema, filter_: dict[str, Value]) -> list[tuple[str, str]] | str:
    """Return the cast filter with its types, or the message of its error."""
    try:
        return [(name, repr(value)) for name, value in cast_filter(schema, filter_).items()]
    except CastError as error:
        return str(error)


@pytest.mark.parametrize("schema", [USERS, CONSULTATIONS, TRANSCRIPTS, NOTES, PROMPTS], ids=lambda schema: schema.model)
def test_filters_of_ids_alone_are_cast_as_among_other_conditions(schema: Schema) -> None:
    text = str(CLINICIAN)
    for value in (text, text.upper(), text[:-1], text + "\n", "", Code(text), IDENTITY, None):
        for name in schema.paths:
            filter_: dict[str, Value] = {"_id": str(NOTE), name: value}
            alone, among_others = outcome(schema, filter_), outcome(schema, {**filter_, "other": True})
            if isinstance(alone, list):
                alone.append(("other", "True"))
            assert alone == among_others


def test_missing_id_is_queried_as_null() -> None:
    assert cast_filter(PROMPTS, by_id(UNDEFINED)) == {"_id": None}
    assert cast_filter(PROMPTS, {"clinician": UNDEFINED, "$or": [{"_id": None}], "$and": []}) == {
        "clinician": None,
        "$or": [{"_id": None}],
    }


@pytest.mark.parametrize(
    "filter_", [{"$or": 5}, {"$and": [5]}, {"_id": {"$regex": "a"}}, {"prompt_name": {"$type": []}}]
)
def test_unusual_operators_are_refused(filter_: dict[str, Value]) -> None:
    if filter_ == {"prompt_name": {"$type": []}}:
        assert cast_filter(PROMPTS, filter_) == filter_
    else:
        with pytest.raises(MongooseError):
            cast_filter(PROMPTS, filter_)


def test_numbers_are_stored_as_by_node() -> None:
    stored = to_bson({"b": [2**31, -(2**31), 1.0, -0.0], "1": "\ud800x", "0": UNDEFINED, "long": Int64(5)})
    assert repr(stored) == repr(
        {"0": None, "1": "\ufffdx", "b": [2147483648.0, -2147483648, 1.0, -0.0], "long": Int64(5)}
    )
    with pytest.raises(MongooseError, match="Unsupported BSON version"):
        to_bson({"_bsontype": "x"})


def test_schemas_know_each_other_by_name() -> None:
    assert Schema.known["users"] is USERS
    assert CONSULTATIONS.find("notes") is CONSULTATIONS.paths["notes"]
    assert CONSULTATIONS.find("notes.0") is None
