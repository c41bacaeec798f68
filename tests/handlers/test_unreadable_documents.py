"""Stored documents that the driver cannot decode: both backends answer with the message of Node's driver."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest
from bson import Code, ObjectId, encode
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from tests.differential.people import ABSENT, OTHER_TOKEN, TOKEN
from tests.support.backend_pair import BackendPair, RunningBackend, post, read
from tests.support.clinic import DOCUMENTS, NOTE, assert_alike, everything
from tests.support.profile import IS_QUICK, spread

pytestmark = pytest.mark.asyncio(loop_scope="session")

RAW: Final[CodecOptions[RawBSONDocument]] = CodecOptions(document_class=RawBSONDocument)
MARK: Final = "<mark>"
INVALID_UTF8: Final = (
    b"\xff     ",
    b"     \xc3",
    b"\xf0\x9f\x98   ",
    b"\xed\xa0\x80   ",
    b"\xc0\x80    ",
    b"\xf4\x90\x80\x80  ",
)
"""A lone byte, two cut characters, a surrogate, an overlong character, and a number that Unicode does not have."""
VALUES: Final[tuple[Any, ...]] = (MARK, [MARK], {"a": [{"b": MARK}]}, Code(MARK))

FIELDS: Final[Mapping[str, str]] = {
    "users": "username",
    "consultations": "patient",
    "transcripts": "summary",
    "notes": "body",
    "prompts": "prompt_text",
}
"""A field of each collection that every reader of the document reads."""
STORED: Final = [request for request in everything() if not request.target.startswith("/api/ai/search")]
"""Requests whose answer depends on stored documents."""


def plant(backend: RunningBackend, collection: str, value: object, invalid: bytes) -> None:
    """Replace the documents of a collection by its first one, with invalid text in a field."""
    document = encode({**DOCUMENTS[collection][0], FIELDS[collection]: value})
    raw = RawBSONDocument(document.replace(MARK.encode(), invalid), RAW)
    backend.database[collection].delete_many({})
    backend.database.get_collection(collection, codec_options=RAW).insert_one(raw)


@pytest.mark.parametrize("collection", DOCUMENTS)
async def test_invalid_text_fails_alike(keeping: BackendPair, collection: str) -> None:
    messages = set()
    for number, invalid in enumerate(INVALID_UTF8[:2] if IS_QUICK else INVALID_UTF8):
        keeping.plant(DOCUMENTS)
        value = VALUES[number % len(VALUES)]
        for backend in (keeping.legacy, keeping.native):
            plant(backend, collection, value, invalid)
        for request in STORED[number % 2 :: 2]:
            answers = await keeping.send(request)
            assert_alike(answers)
            if answers.native.status == 500 and request.method != "HEAD":
                messages.add(read(answers.native).get("error"))
        for other in DOCUMENTS.keys() - {collection}:
            assert keeping.stored(other)[1] == [], other
    assert messages & {"Invalid UTF-8 string in BSON document", "Failed to fetch profile", "Internal Server Error"}


async def test_unreadable_documents_of_others_are_not_found(keeping: BackendPair) -> None:
    for number, collection in enumerate(("consultations", "transcripts", "prompts")):
        keeping.plant(DOCUMENTS)
        for backend in (keeping.legacy, keeping.native):
            plant(backend, collection, MARK, INVALID_UTF8[0])
        for request in spread(STORED, number % 2, 2):
            headers = tuple((name, value.replace(TOKEN, OTHER_TOKEN)) for name, value in request.headers)
            assert_alike(await keeping.send(replace(request, headers=headers)))


async def test_unreadable_document_does_not_affect_concurrent_lookups(keeping: BackendPair) -> None:
    readable = {**DOCUMENTS["notes"][0], "_id": ObjectId(ABSENT)}
    keeping.plant(DOCUMENTS)
    for backend in (keeping.legacy, keeping.native):
        plant(backend, "notes", MARK, INVALID_UTF8[0])
        backend.database.notes.insert_one(dict(readable))
    requests = [post(f"/api/notes/{identity}", {"body": "b"}, TOKEN, "PATCH") for identity in (NOTE, ABSENT)]
    for legacy, native in zip(
        *[await asyncio.gather(*map(backend.send, requests * 4)) for backend in (keeping.legacy, keeping.native)],
        strict=True,
    ):
        assert (native.status, native.body[:40]) == (legacy.status, legacy.body[:40])
