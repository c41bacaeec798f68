"""Stored BSON of every type, written by neither backend: both read it alike, or the difference is declared."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping, Sequence
from typing import Final

import pytest
from bson import encode
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from proxy.contract.divergences import explain
from proxy.recordings.model import RecordedRequest
from tests.differential import raw_bson
from tests.differential.people import PASSWORD, TOKEN
from tests.differential.raw_bson import Raw
from tests.support.backend_pair import DECLARED, BackendPair, get, post, replaces_hang_of_login, shows
from tests.support.clinic import CONSULTATION, DOCUMENTS, NOTE, PROMPT, TRANSCRIPT
from tests.support.profile import IS_QUICK, spread

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
REFERENCE: Final = ((b"$ref", raw_bson.text(b"notes")), (b"$id", raw_bson.identity(bytes(12).hex())))

ALIKE: Final[Mapping[str, Raw]] = {
    "null": Raw(raw_bson.NULL, b""),
    "symbol": raw_bson.text(b"s", raw_bson.SYMBOL),
    "code with scope": raw_bson.scoped_code(b"f()", [(b"a", raw_bson.int32(1))]),
    "code within code": raw_bson.scoped_code(b"f()", [(b"a", raw_bson.scoped_code(b"g()", []))]),
    "MinKey": Raw(raw_bson.MIN_KEY, b""),
    "MaxKey": Raw(raw_bson.MAX_KEY, b""),
    "DBPointer": Raw(raw_bson.POINTER, raw_bson.text(b"notes").payload + bytes(12)),
    "DBPointer with a database": Raw(raw_bson.POINTER, raw_bson.text(b"x.notes").payload + bytes(12)),
    "DBRef": raw_bson.embedded(REFERENCE),
    "DBRef with more": raw_bson.embedded([*REFERENCE, (b"$db", raw_bson.text(b"x")), (b"z", raw_bson.text(b"x"))]),
    "a name twice": raw_bson.embedded([(name, raw_bson.text(name)) for name in (b"a", b"b", b"a")]),
    "array with odd names": raw_bson.embedded(
        [(b"5", raw_bson.text(b"x")), (b"0", raw_bson.text(b"y"))], raw_bson.ARRAY
    ),
    "date beyond JavaScript": raw_bson.int64(8_640_000_000_000_001, raw_bson.DATE),
    "first date": raw_bson.int64(-(2**63), raw_bson.DATE),
    "Decimal128 NaN": Raw(raw_bson.DECIMAL, bytes(15) + b"\x7c"),
    "large Long": raw_bson.int64(2**53 + 1),
    "-0": raw_bson.number(-0.0),
    "NaN": raw_bson.number(float("nan")),
    "timestamp": Raw(raw_bson.TIMESTAMP, struct.pack("<II", 1, 2)),
    "short UUID": raw_bson.binary(4, b"abc"),
    "old binary": raw_bson.binary(2, b"abc"),
    "vector": raw_bson.binary(9, b"\x03\0\1\2"),
    "regular expression with odd flags": raw_bson.regex(b"a", b"iz"),
}
DIFFERENT: Final[Mapping[str, Raw]] = {
    "undefined": Raw(raw_bson.UNDEFINED, b""),
    "name with invalid UTF-8": raw_bson.embedded([(b"a\xffb", raw_bson.text(b"x"))]),
    "regular expression that JavaScript refuses": raw_bson.regex(b"(", b""),
}


def plant(backends: BackendPair, collection: str, field: str, value: Raw) -> None:
    """Store the documents on both sides, the first one of a collection with a raw value in a field."""
    stored = {name: part for name, part in DOCUMENTS[collection][0].items() if name != field}
    raw = raw_bson.document([*raw_bson.members(encode(stored)), (field.encode(), value)])
    backends.plant({**DOCUMENTS, collection: [RawBSONDocument(raw, RAW)]})


def fields_of(collection: str, number: int) -> Sequence[str]:
    """Return three fields for the value of a number, or in a quick run one."""
    fields = FIELDS[collection]
    return [fields[(number + offset) % len(fields)] for offset in range(1 if IS_QUICK else 3)]


@pytest.mark.parametrize(("name", "collection"), spread([*itertools.product(ALIKE, FIELDS)], 0, 3))
async def test_foreign_value_is_read_and_saved_alike(keeping: BackendPair, name: str, collection: str) -> None:
    for field in fields_of(collection, list(ALIKE).index(name)):
        plant(keeping, collection, field, ALIKE[name])
        for request in REQUESTS[collection]:
            answers = await keeping.send_native_first(request, replaces_hang_of_login)
            unexplained = explain(DECLARED, answers.occurrence, answers.differences).unexplained
            assert unexplained == (), (field, answers)
        for stored in ("consultations", "transcripts", "notes", "prompts"):
            assert keeping.stored(stored, typed=True)[1] == [], (field, stored)


@shows("foreign-bson")
@pytest.mark.parametrize("collection", FIELDS)
@pytest.mark.parametrize("name", DIFFERENT)
async def test_value_that_the_drivers_read_differently_is_declared(
    backends: BackendPair, name: str, collection: str
) -> None:
    plant(backends, collection, FIELDS[collection][0], DIFFERENT[name])
    answers = await backends.send(REQUESTS[collection][0])
    answers.assert_declared_in("test-foreign-bson", "foreign-bson")


@shows("unreadable-profile")
async def test_profile_of_a_user_with_unreadable_text(backends: BackendPair) -> None:
    plant(backends, "users", "extra", raw_bson.text(b"\xff"))
    answers = await backends.send(REQUESTS["users"][0])
    assert (answers.legacy.status, answers.native.status) == (500, 200)
    answers.assert_declared_in("test-unreadable-profile", "unreadable-profile")
