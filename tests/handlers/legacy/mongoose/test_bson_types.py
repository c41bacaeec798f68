"""Every BSON type in every field of a stored document: read, shown and saved as by mongoose."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript.dates import iso_or_none
from handlers.legacy.models import CONSULTATIONS, NOTES, PROMPTS, TRANSCRIPTS, USERS
from handlers.legacy.mongoose import Document
from handlers.legacy.mongoose.casts import LAST_DAY
from handlers.legacy.mongoose.schema import Schema
from handlers.legacy.mongoose.tables import arrange, write
from tests.support.mongoose_documents import ordered, read_and_save, without_fresh_values
from tests.support.mongoose_oracle import MODULES, Oracle, extended

pytestmark = pytest.mark.skipif(not MODULES.is_dir(), reason="the demo legacy's libraries are not installed")

SCHEMAS = (USERS, CONSULTATIONS, TRANSCRIPTS, NOTES, PROMPTS)
FIELDS = {
    (type(path), path.required, bool(path.ref)): (schema, name)
    for schema in SCHEMAS
    for name, path in schema.paths.items()
    if name != "_id"
}
"""One field of every kind of path."""
KNOWN = ObjectId("64b7f0f0f0f0f0f0f0f0f0f0")
VALUES: dict[str, Any] = {
    "null": None,
    "bool": True,
    "int": 5,
    "double": 1.5,
    "negative zero": -0.0,
    "nan": float("nan"),
    "long": Int64(5),
    "large long": Int64(2**62),
    "decimal": Decimal128("1.50"),
    "decimal nan": Decimal128("NaN"),
    "text": "abc",
    "spelled id": str(KNOWN),
    "id": KNOWN,
    "date": DatetimeMS(1_700_000_000_000),
    "bytes": b"abc",
    "twelve bytes": b"123456789012",
    "uuid": Binary(b"0123456789abcdef", 4),
    "own binary": Binary(b"\xff", 0x80),
    "regex": Regex("a/b", "i"),
    "timestamp": Timestamp(5, 6),
    "code": Code("x"),
    "scoped code": Code("x", {"a": 1}),
    "min key": MinKey(),
    "max key": MaxKey(),
    "reference": DBRef("users", KNOWN),
    "far reference": DBRef("users", KNOWN, "other", extra=1),
    "object": {"a": {"b": None}},
    "object with id": {"_id": KNOWN, "username": "x"},
    "array": [KNOWN],
    "nested array": [[KNOWN, [None]]],
    "empty object": {},
    "empty array": [],
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value]], ids=["plain", "in an array"])
def test_stored_type_is_read_and_saved_as_by_mongoose(oracle: Oracle, value: Any, wrap: Any) -> None:
    fields = [*FIELDS.values(), (PROMPTS, "nonsense")]
    wrong = [(schema.model, name) for schema, name in fields if not is_alike(oracle, schema, {name: wrap(value)})]
    assert not wrong


@pytest.mark.parametrize("moment", [LAST_DAY, LAST_DAY + 1, -LAST_DAY, -LAST_DAY - 1, 2**63 - 1])
def test_stored_date_out_of_range_is_read_as_absent(moment: int) -> None:
    stored: dict[str, Any] = {"_id": KNOWN, "transcript_ids": [], "is_shareable": False, "is_deleted": False}
    stored |= {"created_at": DatetimeMS(moment)}
    document = Document.read(PROMPTS, stored)
    (text,) = write(arrange(PROMPTS, [stored]))
    is_in_range = abs(moment) <= LAST_DAY
    assert (document.get("created_at") == DatetimeMS(moment)) is is_in_range
    assert (json.loads(text)["created_at"] == iso_or_none(moment)) is is_in_range


def is_alike(oracle: Oracle, schema: Schema, fields: dict[str, Any]) -> bool:
    """Return whether both sides show, refuse and save a stored document in the same way."""
    stored = {"_id": KNOWN, **fields}
    answer = oracle.call("read", model=schema.model, document=extended(stored), set={}, push={})
    if "delta" in answer:
        answer["delta"] = ordered(answer["delta"])
    native, inputs = read_and_save(schema, stored, {}, {}), [extended(stored)]
    names = [name for name in ("json", "changed", "delta") if name in answer or name not in native]
    refusal = answer.get("error", {}).get("message")
    return native.get("error") == refusal and all(
        without_fresh_values(native.get(name), inputs) == without_fresh_values(answer.get(name), inputs)
        for name in names
    )
