"""Populated references: existing, dangling, in arrays, nested, and of documents that are stored oddly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import pytest
from bson import ObjectId, Regex

from handlers.legacy.javascript import Value, parse
from handlers.legacy.models import CONSULTATIONS, USERS
from handlers.legacy.mongoose import CastError
from handlers.legacy.populate import Fields, Populate, populate

CLINICIAN, OTHER, NOTE, MISSING, IDENTITY = (ObjectId(f"64b7f0f0f0f0f0f0f0f0f0f{n}") for n in range(5))
USER = Populate("clinician", ("username",))
PLAN = (USER, Populate("notes", ("body", "clinician"), (USER,)))
STORED: dict[str, list[Fields]] = {
    "users": [{"_id": CLINICIAN, "username": "amara"}, {"_id": OTHER, "username": 5}],
    "notes": [{"_id": NOTE, "body": "rest", "clinician": OTHER}],
}
SETTLED: dict[str, Value] = {
    "_id": IDENTITY,
    "clinician": CLINICIAN,
    "notes": [],
    "started_at": None,
    "status": "ended",
}


class Shelf:
    """Returns stored documents, and records the lookups."""

    def __init__(self) -> None:
        self.fetches: list[tuple[str, Sequence[ObjectId], Sequence[str]]] = []

    async def fetch(self, model: str, identities: Sequence[bytes], fields: Sequence[str]) -> Mapping[bytes, Fields]:
        wanted = list(map(ObjectId, identities))
        self.fetches.append((model, wanted, fields))
        return {cast(ObjectId, each["_id"]).binary: each for each in STORED[model] if each["_id"] in wanted}


async def shown(*stored: dict[str, Value]) -> list[Value]:
    return [parse(text) for text in await populate(CONSULTATIONS, stored, PLAN, Shelf().fetch)]


AMARA: Value = {"_id": str(CLINICIAN), "username": "amara"}
RESTING: Value = {"_id": str(NOTE), "body": "rest", "clinician": {"_id": str(OTHER), "username": "5"}}


@pytest.mark.parametrize(
    ("name", "stored", "expected"),
    [
        ("clinician", CLINICIAN, AMARA),
        ("clinician", str(CLINICIAN), AMARA),
        ("clinician", {"_id": CLINICIAN, "username": "someone else"}, AMARA),
        ("clinician", MISSING, None),
        ("clinician", None, None),
        ("clinician", {"username": "nobody"}, None),
        ("notes", [NOTE, MISSING, str(NOTE)], [RESTING, RESTING]),
        ("notes", NOTE, [RESTING]),
        ("notes", [MISSING], []),
        ("notes", None, None),
    ],
)
async def test_stored_reference_is_populated_as_by_mongoose(name: str, stored: Value, expected: Value) -> None:
    (document,) = await shown({**SETTLED, name: stored})
    assert isinstance(document, dict)
    assert document[name] == expected


BECAUSE = ' because of "CastError"'


@pytest.mark.parametrize(
    ("name", "stored", "message"),
    [
        (
            "clinician",
            Regex("a", "i"),
            'Cast to ObjectId failed for value "/a/i" (type RegExp) at path "_id" for model "users"',
        ),
        (
            "notes",
            [None, Regex("a/b")],
            'Cast to [ObjectId] failed for value "<Revoked Proxy>" (type string) at path "notes.1"' + BECAUSE,
        ),
        (
            "notes",
            [Regex("a/b")],
            'Cast to [ObjectId] failed for value "[ /a\\\\/b/ ]" (type string) at path "notes.0"' + BECAUSE,
        ),
    ],
)
async def test_pattern_for_a_reference_is_a_cast_error(name: str, stored: Value, message: str) -> None:
    # The messages are those of mongoose 8.18.2.
    with pytest.raises(CastError) as error:
        await shown({**SETTLED, name: stored})
    assert str(error.value) == message


async def test_absent_path_stays_absent() -> None:
    document = {name: value for name, value in SETTLED.items() if name != "clinician"}
    assert await shown(document) == [{**document, "_id": str(IDENTITY)}]


async def test_repeated_reference_is_fetched_once() -> None:
    shelf = Shelf()
    lists: list[Value] = [[NOTE], [NOTE, NOTE], []]
    documents: list[Fields] = [{**SETTLED, "notes": notes} for notes in lists]
    assert len(await populate(CONSULTATIONS, documents, PLAN, shelf.fetch)) == 3
    assert shelf.fetches == [
        ("users", [CLINICIAN], ("username",)),
        ("notes", [NOTE], ("body", "clinician")),
        ("users", [OTHER], ("username",)),
    ]


async def test_empty_references_fetch_nothing() -> None:
    shelf = Shelf()
    assert await populate(CONSULTATIONS, [], PLAN, shelf.fetch) == []
    assert await populate(CONSULTATIONS, [{**SETTLED, "clinician": None}], PLAN, shelf.fetch)
    assert shelf.fetches == []


async def test_populating_a_plain_field_raises_a_type_error() -> None:
    with pytest.raises(TypeError, match="username is not a reference"):
        await populate(USERS, [{"_id": OTHER}], [Populate("username")], Shelf().fetch)


async def test_populated_documents_are_read_later_than_their_referrers() -> None:
    consultation: dict[str, Value] = {"_id": IDENTITY, "clinician": None, "notes": [], "transcript": MISSING}

    async def fetch(_: str, identities: Sequence[bytes], __: Sequence[str]) -> Mapping[bytes, Fields]:
        return {each: {"_id": ObjectId(each)} for each in identities}

    (text,) = await populate(CONSULTATIONS, [consultation], (Populate("transcript"),), fetch)
    shown = parse(text)
    assert isinstance(shown, dict)
    assert isinstance(shown["transcript"], dict)
    assert str(shown["started_at"]) < str(shown["transcript"]["created_at"])
