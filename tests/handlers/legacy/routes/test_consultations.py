"""`/api/consultation` as in the legacy, with dangling references and documents of every age."""

from __future__ import annotations

import itertools
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Binary, Code, Int64, MinKey, ObjectId, Regex, Timestamp

from proxy.fuzz.differential import Differential
from tests.support.mongoose_values import KNOWN_ID
from tests.support.profile import spread
from tests.support.resources import ABSENT_ID, AMARA_ID, BOLA_ID, PEOPLE, UNSAID, action, as_user, same, texts

pytestmark = pytest.mark.asyncio(loop_scope="session")


WHOLE, DANGLING, BARE, WRONG, THEIRS = (ObjectId(f"60020000abcdef000000000{n}") for n in range(5))
TRANSCRIPT, UNSAID_TEXT, INVALID = (ObjectId(f"60030000abcdef000000000{n}") for n in range(3))
NOTE, ORPHAN_NOTE = ObjectId("60040000abcdef0000000000"), ObjectId("60040000abcdef0000000001")
PROMPT, FAILING, ODD_PROMPT = (ObjectId(f"60050000abcdef000000000{n}") for n in range(3))

CONSULTATIONS: list[dict[str, object]] = [
    {
        "_id": WHOLE,
        "clinician": AMARA_ID,
        "patient": {"name": "Jane Roe", "empty": {}, "list": [{}, {"a": {}}]},
        "notes": [NOTE, ABSENT_ID, ORPHAN_NOTE, NOTE],
        "status": "active",
        "started_at": datetime(2024, 3, 1, tzinfo=UTC),
        "__v": 4,
        "transcript": TRANSCRIPT,
    },
    {"_id": DANGLING, "clinician": AMARA_ID, "transcript": ABSENT_ID, "notes": [None, ABSENT_ID], "status": None},
    {"_id": BARE, "clinician": AMARA_ID},
    {
        "_id": WRONG,
        "clinician": [AMARA_ID],
        "patient": Int64(2**60),
        "notes": str(NOTE),
        "status": "paused",
        "started_at": "yesterday",
        "transcript": str(UNSAID_TEXT),
        "extra": {"b": {}, "2": 1, "1": 2, "constructor": 3, "c": {"prototype": 4}, "d": [{"constructor": 5}]},
    },
    {"_id": THEIRS, "clinician": BOLA_ID, "transcript": INVALID, "started_at": datetime(2024, 4, 1, tzinfo=UTC)},
]
TRANSCRIPTS: list[dict[str, object]] = [
    {
        "_id": TRANSCRIPT,
        "clinician": AMARA_ID,
        "consultation": WHOLE,
        "transcript_text": "Cough for a week.",
        "prompt_used": PROMPT,
        "summary": "old",
    },
    {"_id": UNSAID_TEXT, "clinician": AMARA_ID, "consultation": WRONG, "prompt_used": ABSENT_ID},
    {"_id": INVALID, "consultation": THEIRS, "transcript_text": 5, "summary": {"a": {}}},
]
NOTES: list[dict[str, object]] = [
    {"_id": NOTE, "clinician": BOLA_ID, "body": "a note", "consultation": WHOLE, "created_at": 5},
    {"_id": ORPHAN_NOTE, "clinician": ABSENT_ID, "body": 7},
]
PROMPTS: list[dict[str, object]] = [
    {"_id": PROMPT, "prompt_name": "SOAP", "prompt_text": "Summarise.", "clinician": BOLA_ID, "is_deleted": True},
    {"_id": FAILING, "prompt_text": "FAIL-AI please"},
    {"_id": ODD_PROMPT, "prompt_name": 5},
]
BEFORE = {
    "users": PEOPLE,
    "consultations": CONSULTATIONS,
    "transcripts": TRANSCRIPTS,
    "notes": NOTES,
    "prompts": PROMPTS,
}
PATIENTS: list[Any] = [
    *("text", "", 5, 0, -0.0, 1.5, 2**31, 1e300, True, False, None, [], [[]], [{}], {}, {"a": {}}, {"a": {"b": {}}}),
    *({"b": 1, "2": 1, "1": 1}, {"a.b": 1, "$c": 2, "": 3}, {"__proto__": 1, "constructor": 2, "x": 3}, {"a": None}),
    *({"constructor": None, "prototype": 1}, "\ud800", {"\ud800": 1}, {"_bsontype": "ObjectId"}, {"toJSON": 1}),
    *({"constructor": 1, "x": {}}, {"constructor": 1, "valueOf": 2, "x": {}}, {"constructor": {"name": "Object"}}),
    *({"_bsontype": "Double", "value": "5"}, {"a\0b": 1}, {"$date": "2020-01-01"}, {"_id": KNOWN_ID}, {"toBSON": {}}),
    *({"a": {"constructor": {"name": name}, "source": "a/b"}} for name in ("Date", "RegExp")),
    {"constructor": 0, "_bsontype": "ObjectId", "id": KNOWN_ID},
]


async def test_starts_with_patients_of_every_kind(differential: Differential) -> None:
    starts = [action("POST", "/api/consultation/start", {"patient_data": patient}) for patient in PATIENTS]
    account = await same(differential, {"users": PEOPLE}, *starts, action("GET", "/api/consultation"))
    assert sum(text.startswith("200") for text in texts(account)) == len(PATIENTS) - 2


async def test_starts_without_a_patient(differential: Differential) -> None:
    bodies: tuple[object, ...] = (UNSAID, [], {}, [1], {"patient": 1})
    await same(differential, {}, *(action("POST", "/api/consultation/start", body) for body in bodies))


USERS: list[Any] = [None, 5, "abc", KNOWN_ID, str(AMARA_ID).upper(), {}, {"$ne": None}, [str(AMARA_ID)]]


async def test_tokens_of_any_user_are_answered_alike(differential: Differential) -> None:
    stored, requests = [], []
    for index, user in enumerate(USERS):
        token, identity = as_user(user), ObjectId(f"60020000abcdef00000001{index:02x}")
        stored.append({**CONSULTATIONS[0], "_id": identity})
        requests += [
            action("POST", "/api/consultation/start", {"patient_data": {}}, token=token),
            action("GET", "/api/consultation", token=token),
            action("GET", f"/api/consultation/{identity}", token=token),
            action("GET", "/api/consultation/abc", token=token),
            action("POST", f"/api/consultation/{identity}/end", {"prompt_used": str(PROMPT)}, token=token),
        ]
    await same(differential, {**BEFORE, "consultations": stored}, *requests)


async def test_incomplete_documents_are_listed_and_shown_alike(differential: Differential) -> None:
    requests = []
    for user in (AMARA_ID, BOLA_ID, ABSENT_ID):
        token = as_user(str(user))
        requests.append(action("GET", "/api/consultation", token=token))
        requests += [action("GET", f"/api/consultation/{one['_id']}", token=token) for one in CONSULTATIONS]
    await same(differential, BEFORE, *requests)


async def test_malformed_ids_are_refused_alike(differential: Differential) -> None:
    requests = []
    for identity in ("abc", "123456789012", ABSENT_ID, str(WHOLE).upper(), "%zz", "a%2Fb"):
        path = f"/api/consultation/{identity}"
        requests += [action("GET", path), action("POST", f"{path}/end", {"prompt_used": str(PROMPT)})]
    await same(differential, BEFORE, *requests)


@pytest.mark.parametrize("prompt", [PROMPT, FAILING, ODD_PROMPT])
async def test_incomplete_documents_end_alike(differential: Differential, prompt: ObjectId) -> None:
    requests = []
    for consultation in CONSULTATIONS:
        path = f"/api/consultation/{consultation['_id']}"
        end = action("POST", f"{path}/end", {"prompt_used": str(prompt)})
        requests += [end, end, action("GET", path)]
    await same(differential, BEFORE, *requests)


ODD_LINKS: list[Any] = [
    *(b"hello", Int64(2**60), Timestamp(1, 2), MinKey(), Code("f()"), {}, {"a": 1}, {"_id": "abc"}, {"_id": ABSENT_ID}),
    *({"_id": TRANSCRIPT}, {"_id": str(TRANSCRIPT)}, [TRANSCRIPT], [], "abc", 5, True, str(TRANSCRIPT), [[TRANSCRIPT]]),
]
ODD_FIELDS: list[dict[str, Any]] = [
    *({"clinician": None}, {"clinician": [1]}, {"consultation": "bad"}, {"created_at": "then"}, {"updated_at": [1]}),
    *({"transcript_text": [1]}, {"transcript_text": None}, {"transcript_text": 5}, {"prompt_used": "bad"}),
    *({"summary": "kept"}, {"summary": {"a": {}}}, {"__v": "x"}, {"extra": {"a": {}}}),
]


async def test_malformed_transcript_links_end_alike(differential: Differential) -> None:
    stored = [
        {**CONSULTATIONS[0], "_id": ObjectId(f"60020000abcdef00000001{index:02x}"), "transcript": link}
        for index, link in enumerate(ODD_LINKS)
    ]
    ends = [action("POST", f"/api/consultation/{one['_id']}/end", {"prompt_used": str(PROMPT)}) for one in stored]
    await same(differential, {**BEFORE, "consultations": stored}, *ends)


async def test_missing_transcripts_are_looked_up_by_null(differential: Differential) -> None:
    nobodys = {**TRANSCRIPTS[0], "_id": None}
    paths = [f"/api/consultation/{one}/end" for one in (DANGLING, BARE, WHOLE)]
    ends = [action("POST", path, {"prompt_used": str(PROMPT)}) for path in paths]
    account = await same(differential, {**BEFORE, "transcripts": [*TRANSCRIPTS, nobodys]}, *ends)
    assert [text[:3] for text in texts(account)] == ["200"] * 3


@pytest.mark.parametrize("prompt", [PROMPT, FAILING, ODD_PROMPT])
async def test_ends_with_transcripts_that_would_not_validate(differential: Differential, prompt: ObjectId) -> None:
    ids = [(ObjectId(f"60020000abcdef00000001{n:02x}"), ObjectId(f"60030000abcdef00000001{n:02x}")) for n in range(26)]
    odd = [*ODD_FIELDS, *ODD_FIELDS]
    consultations = [
        {"_id": one, "clinician": AMARA_ID if index < len(ODD_FIELDS) else None, "transcript": other}
        for index, (one, other) in enumerate(ids)
    ]
    transcripts = [{**TRANSCRIPTS[0], "_id": other, **fields} for (_, other), fields in zip(ids, odd, strict=True)]
    ended = spread(ids, (PROMPT, FAILING, ODD_PROMPT).index(prompt), 3)
    ends = [action("POST", f"/api/consultation/{one}/end", {"prompt_used": str(prompt)}) for one, _ in ended]
    await same(differential, {**BEFORE, "consultations": consultations, "transcripts": transcripts}, *ends)


@pytest.mark.parametrize("odd", [{"__v": None}, {"notes": {"_bsontype": "ObjectId"}, "__v": 1}], ids=["count", "id"])
async def test_transcript_is_changed_if_the_save_is_refused(differential: Differential, odd: dict[str, object]) -> None:
    stored = {"_id": WHOLE, "clinician": AMARA_ID, "transcript": TRANSCRIPT, **odd}
    end = action("POST", f"/api/consultation/{WHOLE}/end", {"prompt_used": str(PROMPT)})
    account = await same(differential, {**BEFORE, "consultations": [stored]}, end)
    assert texts(account)[0].startswith("500")


PROMPTS_USED: list[Any] = [
    *(str(PROMPT).upper(), None, "", "x", 5, True, [], [str(PROMPT)], {}, {"a": 1}, {"_id": str(PROMPT)}),
    *({"$in": [str(ODD_PROMPT), str(PROMPT)]}, {"$foo": 1}, {"$gt": ""}, {"_bsontype": "ObjectId", "id": "x"}),
]


async def test_ends_by_prompts_of_every_type(differential: Differential) -> None:
    path = f"/api/consultation/{WHOLE}/end"
    bodies = [*({"prompt_used": prompt} for prompt in PROMPTS_USED), [], {}, UNSAID]
    await same(differential, BEFORE, *(action("POST", path, body) for body in bodies))


NOTES_THAT_ARE_NO_LIST: list[Any] = [
    *({}, {"a": 1}, {"_id": NOTE}, {"_id": str(NOTE)}, {"_id": "abc"}, {"id": str(NOTE)}, Int64(2**60), b"hello"),
    *(
        uuid.UUID(int=7).bytes,
        Binary(uuid.UUID(int=7).bytes, 4),
        Timestamp(1, 2),
        MinKey(),
        Code("f()"),
        Regex("a/b", "i"),
        "abc",
        str(NOTE),
        5,
        None,
    ),
    *([{"_id": NOTE}, NOTE], [{"body": "x"}], [[NOTE]], [None], [Int64(2**60)]),
]


async def test_malformed_notes_are_answered_alike(differential: Differential) -> None:
    stored = [
        {**CONSULTATIONS[0], "_id": ObjectId(f"60020000abcdef00000001{index:02x}"), "notes": notes}
        for index, notes in enumerate(NOTES_THAT_ARE_NO_LIST)
    ]
    requests = []
    for index, consultation in enumerate(stored):
        path = f"/api/consultation/{consultation['_id']}"
        note = {"body": "b", "transcriptId": str(TRANSCRIPT)}
        writes = [
            action("POST", f"/api/notes/{consultation['_id']}", note),
            action("POST", f"{path}/end", {"prompt_used": str(PROMPT)}),
        ]
        requests += [action("GET", path), *spread(writes, index % 2, 2), action("GET", path)]
    await same(differential, {**BEFORE, "consultations": stored}, *requests)


async def test_transcript_is_queried_before_the_prompt(differential: Differential) -> None:
    stored: list[dict[str, Any]] = [
        {**CONSULTATIONS[0], "_id": ObjectId(f"60020000abcdef00000001{index:02x}"), "transcript": transcript}
        for index, transcript in enumerate((ABSENT_ID, None, TRANSCRIPT))
    ]
    ends = [
        action("POST", f"/api/consultation/{consultation['_id']}/end", {"prompt_used": str(prompt)})
        for consultation, prompt in itertools.product(stored, (ABSENT_ID, "abc", PROMPT))
    ]
    account = await same(differential, {**BEFORE, "consultations": stored}, *ends)
    assert texts(account)[:6] == ['404 {"msg":"Transcript not found"}'] * 6
