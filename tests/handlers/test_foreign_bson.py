"""Stored BSON of every type, written by neither backend: both read it alike, or the difference is declared."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import pytest
from bson import encode, json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

from proxy.contract.divergences import explain
from proxy.recordings.compare_side_effects import compare_documents
from proxy.recordings.model import RecordedRequest
from proxy.types import JSON
from tests.differential.people import PASSWORD, TOKEN
from tests.support.backend_pair import ANSWER_TIMEOUT, DECLARED, HANG, Twin, Twins, get, names, post, shows
from tests.support.clinic import CONSULTATION, DOCUMENTS, NOTE, PROMPT, TRANSCRIPT
from tests.support.profile import IS_QUICK

pytestmark = pytest.mark.asyncio(loop_scope="session")

RAW: Final[CodecOptions[RawBSONDocument]] = CodecOptions(document_class=RawBSONDocument)
FIELDS: Final[Mapping[str, Sequence[str]]] = {
    "users": ("username", "password", "role", "createdAt", "prompts", "extra"),
    "consultations": ("patient", "clinician", "transcript", "notes", "started_at", "status", "__v"),
    "transcripts": ("summary", "clinician", "consultation", "transcript_text", "prompt_used", "created_at", "__v"),
    "notes": ("body", "clinician", "transcript", "consultation", "created_at", "updated_at", "extra"),
    "prompts": ("prompt_text", "prompt_name", "is_shareable", "clinician", "transcript_ids", "created_at", "__v"),
}
"""The fields of each collection that hold a foreign value, each in turn."""
_LOG_IN: Final = post("/users/login", {"email": "amara@x", "password": PASSWORD})
_END: Final = post(f"/api/consultation/{CONSULTATION}/end", {"prompt_used": PROMPT}, TOKEN)
_LINK: Final = post(f"/api/prompts/{PROMPT}/add-prompt/{TRANSCRIPT}", {}, TOKEN, "PATCH")
_READ_ONE: Final = get(f"/api/consultation/{CONSULTATION}", TOKEN)
REQUESTS: Final[Mapping[str, Sequence[RecordedRequest]]] = {
    "users": (get("/users/profile", TOKEN), _LOG_IN, get("/api/consultation", TOKEN)),
    "consultations": (
        get("/api/consultation", TOKEN),
        _READ_ONE,
        post(f"/api/notes/{CONSULTATION}", {"body": "b", "transcriptId": TRANSCRIPT}, TOKEN),
        _END,
    ),
    "transcripts": (
        get(f"/api/transcript/{CONSULTATION}", TOKEN),
        _READ_ONE,
        post("/api/transcript/update-text", {"transcript_id": TRANSCRIPT, "transcript_text": "t"}, TOKEN),
        _LINK,
        _END,
    ),
    "notes": (
        get(f"/api/notes/{CONSULTATION}", TOKEN),
        post(f"/api/notes/{NOTE}", {"body": "b"}, TOKEN, "PATCH"),
        get(f"/api/notes/{NOTE}", TOKEN, "DELETE"),
    ),
    "prompts": (
        get("/api/prompts", TOKEN),
        post(f"/api/prompts/{PROMPT}", {"prompt_name": "n"}, TOKEN, "PATCH"),
        _LINK,
        _END,
        get(f"/api/prompts/{PROMPT}", TOKEN, "DELETE"),
    ),
}
"""Requests that read and write the documents of a collection, one after the other."""
DATES: Final[CodecOptions[dict[str, object]]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)


def string(text: bytes) -> bytes:
    return struct.pack("<i", len(text) + 1) + text + b"\0"


def element(kind: int, name: bytes, value: bytes) -> bytes:
    return bytes([kind]) + name + b"\0" + value


def document(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def binary(subtype: int, data: bytes) -> bytes:
    return struct.pack("<i", len(data)) + bytes([subtype]) + data


CODE: Final = string(b"f()") + document(element(16, b"a", struct.pack("<i", 1)))
REFERENCE: Final = (element(2, b"$ref", string(b"notes")), element(7, b"$id", bytes(12)))

ALIKE: Final[Mapping[str, tuple[int, bytes]]] = {
    "null": (10, b""),
    "symbol": (14, string(b"s")),
    "code with scope": (15, struct.pack("<i", len(CODE) + 4) + CODE),
    "MinKey": (0xFF, b""),
    "MaxKey": (0x7F, b""),
    "DBPointer": (12, string(b"notes") + bytes(12)),
    "DBRef": (3, document(*REFERENCE)),
    "DBRef with more": (3, document(*REFERENCE, element(2, b"$db", string(b"x")), element(2, b"z", string(b"x")))),
    "a name twice": (3, document(*(element(2, name, string(name)) for name in (b"a", b"b", b"a")))),
    "array with odd names": (4, document(element(2, b"5", string(b"x")), element(2, b"0", string(b"y")))),
    "date beyond JavaScript": (9, struct.pack("<q", 8_640_000_000_000_001)),
    "first date": (9, struct.pack("<q", -(2**63))),
    "Decimal128 NaN": (19, bytes(15) + b"\x7c"),
    "large Long": (18, struct.pack("<q", 2**53 + 1)),
    "-0": (1, struct.pack("<d", -0.0)),
    "NaN": (1, struct.pack("<d", float("nan"))),
    "timestamp": (17, struct.pack("<II", 1, 2)),
    "short UUID": (5, binary(4, b"abc")),
    "old binary": (5, binary(2, struct.pack("<i", 3) + b"abc")),
    "vector": (5, binary(9, b"\x03\0\1\2")),
    "regular expression with odd flags": (11, b"a\0xiz\0"),
}
DIFFERENT: Final[Mapping[str, tuple[int, bytes]]] = {
    "undefined": (6, b""),
    "name with invalid UTF-8": (3, document(element(2, b"a\xffb", string(b"x")))),
    "regular expression that JavaScript refuses": (11, b"(\0\0"),
}


def plant(twins: Twins, collection: str, field: str, kind: int, value: bytes) -> None:
    """Store the documents on both sides, the first one of a collection with a raw value in a field."""
    twins.plant(DOCUMENTS)
    stored = {name: part for name, part in DOCUMENTS[collection][0].items() if name != field}
    raw = document(encode(stored)[4:-1], element(kind, field.encode(), value))
    for twin in (twins.legacy, twins.native):
        twin.database[collection].delete_many({})
        twin.database.get_collection(collection, codec_options=RAW).insert_one(RawBSONDocument(raw, RAW))


def written(twin: Twin, collection: str) -> list[JSON]:
    """Return a collection in canonical extended JSON, in which numbers have their stored type."""
    stored = list(twin.database.get_collection(collection, codec_options=DATES).find())
    documents: list[JSON] = json.loads(json_util.dumps(stored, json_options=json_util.CANONICAL_JSON_OPTIONS))
    return documents


def fields_of(collection: str, number: int) -> Sequence[str]:
    """Return three fields for the value of a number, or in a quick run one."""
    fields = FIELDS[collection]
    return [fields[(number + offset) % len(fields)] for offset in range(1 if IS_QUICK else 3)]


@pytest.mark.parametrize("collection", FIELDS)
@pytest.mark.parametrize("name", ALIKE)
async def test_foreign_value_is_read_and_saved_alike(keeping: Twins, name: str, collection: str) -> None:
    for field in fields_of(collection, list(ALIKE).index(name)):
        plant(keeping, collection, field, *ALIKE[name])
        for request in REQUESTS[collection]:
            may_hang = request is _LOG_IN and field == "password"
            answers = await keeping.send(request, HANG if may_hang else ANSWER_TIMEOUT)
            unexplained = explain(DECLARED, answers.occurrence, answers.differences).unexplained
            assert unexplained == (), (field, answers)
        for stored in ("consultations", "transcripts", "notes", "prompts"):
            legacy, native = written(keeping.legacy, stored), written(keeping.native, stored)
            assert compare_documents(stored, legacy, native, names()) == [], (field, stored)


@shows("foreign-bson")
@pytest.mark.parametrize("collection", FIELDS)
@pytest.mark.parametrize("name", DIFFERENT)
async def test_value_that_the_drivers_read_differently_is_declared(twins: Twins, name: str, collection: str) -> None:
    entry = [one for one in DECLARED if one.id == "foreign-bson"]
    plant(twins, collection, FIELDS[collection][0], *DIFFERENT[name])
    answers = await twins.send(REQUESTS[collection][0])
    occurrence = replace(answers.occurrence, scenario="test-foreign-bson")
    assert answers.differences
    assert explain(entry, occurrence, answers.differences).unexplained == ()
    assert explain(entry, answers.occurrence, answers.differences).declared == ()


@shows("unreadable-profile")
async def test_profile_of_a_user_with_unreadable_text(twins: Twins) -> None:
    plant(twins, "users", "extra", 2, string(b"\xff"))
    answers = await twins.send(REQUESTS["users"][0])
    assert (answers.legacy.status, answers.native.status) == (500, 200)
    occurrence = replace(answers.occurrence, scenario="test-unreadable-profile")
    assert explain(DECLARED, occurrence, answers.differences).declared == ("unreadable-profile",)
