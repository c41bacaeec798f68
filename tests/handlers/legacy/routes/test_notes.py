"""`/api/notes` as in the legacy, with fields missing from a note and its consultation, or too many."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Int64, ObjectId, Regex

from proxy.fuzz.differential import Differential
from tests.support.mongoose_values import KNOWN_ID
from tests.support.profile import spread
from tests.support.resources import ABSENT_ID, AMARA_ID, BOLA_ID, PEOPLE, UNSAID, action, as_user, same, texts

pytestmark = pytest.mark.asyncio(loop_scope="session")


CONSULTATION, OLD, ODD, BROKEN = (ObjectId(f"60020000abcdef000000000{n}") for n in range(4))
NOTE, THEIRS, BARE, NOBODYS, WRONG = (ObjectId(f"60040000abcdef000000000{n}") for n in range(5))
TRANSCRIPT = ObjectId("60030000abcdef0000000000")
NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)

CONSULTATIONS: list[dict[str, object]] = [
    {"_id": CONSULTATION, "clinician": AMARA_ID, "notes": [NOTE], "status": "active", "__v": 1},
    {"_id": OLD, "clinician": BOLA_ID},
    {"_id": ODD, "clinician": AMARA_ID, "notes": KNOWN_ID, "status": "paused", "__v": 3},
    {"_id": BROKEN, "notes": ["bad"], "status": 5, "extra": {"a": {}}},
]
NOTES: list[dict[str, object]] = [
    {
        "_id": NOTE,
        "clinician": AMARA_ID,
        "transcript": TRANSCRIPT,
        "consultation": CONSULTATION,
        "body": "first",
        "created_at": NEW_YEAR,
        "updated_at": NEW_YEAR,
    },
    {"_id": THEIRS, "clinician": BOLA_ID, "transcript": TRANSCRIPT, "consultation": CONSULTATION, "body": "theirs"},
    {"_id": BARE, "clinician": AMARA_ID, "consultation": CONSULTATION},
    {"_id": NOBODYS, "consultation": CONSULTATION, "body": "whose", "transcript": None, "created_at": "then"},
    {"_id": WRONG, "clinician": ABSENT_ID, "consultation": CONSULTATION, "body": {"a": 1}, "extra": [], "__v": 1},
]
BEFORE = {"users": PEOPLE, "consultations": CONSULTATIONS, "notes": NOTES}
BODIES: list[Any] = [
    *("x", " trimmed ", "   ", "", 5, 0, 1.5, True, False, None, [], ["a"], {}, {"a": 1}, {"_id": "by id"}),
    *("\ud800", "\u2028\u00e9", {"toString": 1}, [[]], "$&"),
]
REFERENCES: list[Any] = [
    *(str(TRANSCRIPT), str(TRANSCRIPT).upper(), None, "", "bad", "123456789012", 5, True, [], [str(TRANSCRIPT)]),
    *({}, {"_id": str(TRANSCRIPT)}, {"_id": {}}, {"id": str(TRANSCRIPT), "toString": 1}, {"$ne": None}),
    {"_bsontype": "ObjectId", "id": "123456789012"},
]


async def test_adds_to_any_consultation(differential: Differential) -> None:
    requests = []
    for consultation in (CONSULTATION, OLD, ODD, BROKEN, ABSENT_ID, "abc", "%F0%9F%98%80"):
        path = f"/api/notes/{consultation}"
        add = action("POST", path, {"body": " a note ", "transcriptId": str(TRANSCRIPT)})
        requests += [add, add, action("GET", path), action("GET", f"/api/consultation/{consultation}")]
    await same(differential, BEFORE, *requests)


async def test_note_requires_text_and_transcript(differential: Differential) -> None:
    bodies: tuple[object, ...] = (UNSAID, [], {}, {"body": "x"}, {"transcriptId": KNOWN_ID})
    await same(differential, BEFORE, *(action("POST", f"/api/notes/{CONSULTATION}", body) for body in bodies))


async def test_adds_texts_and_references_of_every_type(differential: Differential) -> None:
    path = f"/api/notes/{CONSULTATION}"
    bodies = [{"body": body, "transcriptId": str(TRANSCRIPT)} for body in BODIES]
    bodies += [{"body": "x", "transcriptId": reference} for reference in REFERENCES]
    account = await same(differential, BEFORE, *(action("POST", path, body) for body in bodies), action("GET", path))
    assert "Unsupported BSON version" in texts(account)[-2]


USERS: list[Any] = [None, 5, "abc", KNOWN_ID, str(AMARA_ID).upper(), {}, [str(AMARA_ID)]]


async def test_tokens_of_any_user_are_answered_alike(differential: Differential) -> None:
    stored, requests = [], []
    for index, user in enumerate(USERS):
        token, note = as_user(user), ObjectId(f"60040000abcdef00000001{index:02x}")
        stored.append({**NOTES[0], "_id": note})
        added = {"body": "x", "transcriptId": str(TRANSCRIPT)}
        requests += [
            action("POST", f"/api/notes/{CONSULTATION}", added, token=token),
            action("PATCH", f"/api/notes/{note}", {"body": "y"}, token=token),
            action("DELETE", f"/api/notes/{note}", token=token),
            action("GET", f"/api/notes/{CONSULTATION}", token=token),
        ]
    await same(differential, {**BEFORE, "notes": stored}, *requests)


OTHER_IDS = (THEIRS, BARE, NOBODYS, WRONG, ABSENT_ID, "abc")


async def test_own_notes_are_changed_and_deleted_alike(differential: Differential) -> None:
    listed = action("GET", f"/api/notes/{CONSULTATION}")
    requests = []
    for note in (NOTE, *OTHER_IDS):
        path = f"/api/notes/{note}"
        bodies = BODIES if note == NOTE else spread(BODIES, OTHER_IDS.index(note), len(OTHER_IDS))
        requests += [action("PATCH", path, {"body": body}) for body in bodies]
        requests += [action("PATCH", path, body) for body in (UNSAID, [], {})]
        requests += [listed, action("DELETE", path), action("DELETE", path), listed]
    await same(differential, BEFORE, *requests)


OWNERS: list[Any] = [Regex("a", "i"), Int64(2**60), {"username": "x"}, {"_id": AMARA_ID}, [AMARA_ID]]


async def test_malformed_owners_are_answered_alike(differential: Differential) -> None:
    notes: list[dict[str, Any]] = [
        {
            "_id": ObjectId(f"60040000abcdef00000001{index:02x}"),
            "clinician": clinician,
            "transcript": TRANSCRIPT,
            "consultation": OLD,
            "body": "x",
        }
        for index, clinician in enumerate(OWNERS)
    ]
    requests = []
    for note in notes:
        path = f"/api/notes/{note['_id']}"
        requests += [action("PATCH", path, {"body": "y"}), action("DELETE", path)]
    await same(differential, {"users": PEOPLE, "notes": notes}, *requests)


NO_ARRAYS: list[Any] = [42, 0, "", "bad", None, True, [1], ["bad"], 1.5, {}, [[NOTE], "bad"]]


async def test_note_is_added_to_notes_that_are_no_array(differential: Differential) -> None:
    stored: list[dict[str, Any]] = [
        {"_id": ObjectId(f"60020000abcdef00000001{index:02x}"), "clinician": AMARA_ID, "notes": notes, "__v": 1}
        for index, notes in enumerate(NO_ARRAYS)
    ]
    requests = []
    for consultation in stored:
        added = {"body": "x", "transcriptId": str(TRANSCRIPT)}
        requests.append(action("POST", f"/api/notes/{consultation['_id']}", added))
        requests.append(action("GET", f"/api/consultation/{consultation['_id']}"))
    await same(differential, {"consultations": stored}, *requests)


async def test_note_on_malformed_array_is_stored_as_by_legacy(differential: Differential) -> None:
    odd = {"_id": ODD, "clinician": AMARA_ID, "notes": str(NOTE), "__v": 0}
    add = action("POST", f"/api/notes/{ODD}", {"body": "x", "transcriptId": str(TRANSCRIPT)})
    account = await same(differential, {"consultations": [odd]}, add)
    assert texts(account)[0].startswith("500")
    assert len(account.scenario.store["notes"]) == 1
