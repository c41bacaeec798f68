"""`/api/transcript` as in the legacy, for values of every type and documents of every age."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from bson import ObjectId

from proxy.fuzz.differential import Differential
from tests.support.mongoose_values import KNOWN_ID
from tests.support.resources import ABSENT_ID, AMARA_ID, BOLA_ID, UNSAID, action, as_user, same, texts

pytestmark = pytest.mark.asyncio(loop_scope="session")


MINE, THEIRS, BARE, WRONG, LATER = (ObjectId(f"60030000abcdef000000000{n}") for n in range(5))
CONSULTATION, SHARED = ObjectId("60020000abcdef0000000000"), ObjectId("60020000abcdef0000000001")
TRANSCRIPTS: list[dict[str, object]] = [
    {"_id": MINE, "clinician": AMARA_ID, "consultation": CONSULTATION, "transcript_text": "said", "__v": 0},
    {"_id": THEIRS, "clinician": BOLA_ID, "consultation": SHARED, "transcript_text": "theirs"},
    {"_id": BARE, "clinician": AMARA_ID, "consultation": SHARED},
    {
        "_id": WRONG,
        "clinician": [AMARA_ID, BOLA_ID],
        "consultation": ABSENT_ID,
        "transcript_text": {"a": 1},
        "summary": {"a": {}, "b": [{}, {"c": {}}]},
        "prompt_used": "none",
        "created_at": 5,
        "extra": {},
    },
    {"_id": LATER, "clinician": AMARA_ID, "consultation": CONSULTATION, "transcript_text": "said later"},
]
BEFORE = {"transcripts": TRANSCRIPTS}
TEXTS: list[Any] = [
    "x",
    " kept ",
    "",
    5,
    0,
    1.5,
    True,
    False,
    None,
    [],
    ["a"],
    {},
    {"a": 1},
    {"_id": "by id"},
    "\ud800",
    {"constructor": {"name": "RegExp"}, "source": "a/b", "flags": "gi"},
    {"constructor": {"name": "Date"}},
]
IDENTITIES: list[Any] = [
    *(str(MINE), str(MINE).upper(), str(THEIRS), str(BARE), str(WRONG), str(ABSENT_ID), "abc", "", None, 5, True),
    *([], [str(MINE)], [str(ABSENT_ID), str(BARE)], ["bad"], {}, {"_id": str(MINE)}, {"a": 1}),
    *(
        {"$ne": None},
        {"$in": [str(BARE)]},
        {"$in": "bad"},
        {"$gt": ""},
        {"$exists": "yes"},
        {"$regex": "a"},
        {"$foo": 1},
    ),
    {"_bsontype": "ObjectId"},
]


async def test_replaces_the_text_by_values_of_every_type(differential: Differential) -> None:
    bodies = [{"transcript_id": str(MINE), "transcript_text": text} for text in TEXTS]
    account = await same(
        differential, BEFORE, *(action("POST", "/api/transcript/update-text", body) for body in bodies)
    )
    assert sum(text.startswith("200") for text in texts(account)) == 8


async def test_own_transcripts_match_ids_of_every_type(differential: Differential) -> None:
    bodies = [{"transcript_id": identity, "transcript_text": f"{n}"} for n, identity in enumerate(IDENTITIES)]
    await same(differential, BEFORE, *(action("POST", "/api/transcript/update-text", body) for body in bodies))


async def test_missing_fields_are_refused_alike(differential: Differential) -> None:
    bodies: tuple[object, ...] = (UNSAID, [], {}, {"transcript_id": KNOWN_ID}, {"transcript_text": "x"})
    await same(differential, BEFORE, *(action("POST", "/api/transcript/update-text", body) for body in bodies))


USERS: list[Any] = [str(AMARA_ID), str(BOLA_ID), None, "abc", 5, {"$ne": None}, [str(BOLA_ID)]]


async def test_own_transcripts_are_shown_alike(differential: Differential) -> None:
    identities = (CONSULTATION, SHARED, ABSENT_ID, KNOWN_ID, "abc", "123456789012")
    shown = itertools.product(USERS, identities)
    await same(
        differential,
        BEFORE,
        *(action("GET", f"/api/transcript/{identity}", token=as_user(user)) for user, identity in shown),
    )
