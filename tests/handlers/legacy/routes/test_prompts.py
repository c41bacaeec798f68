"""`/api/prompts` as in the legacy, with documents of every kind; and the fields that a change may set by default."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from bson import ObjectId

from handlers.services.prompts import Prompts
from handlers.storage.store import Store
from proxy.fuzz.differential import Differential
from tests.support.backends import Backend, native_backend, token_of
from tests.support.mongoose_values import KNOWN_ID
from tests.support.profile import spread
from tests.support.resources import ABSENT_ID, AMARA_ID, BOLA_ID, UNSAID, action, as_user, same, texts

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def native(mongodb_url: str) -> AsyncIterator[Backend]:
    async with native_backend(mongodb_url) as backend:
        yield backend


MINE, THEIRS, SHARED, RETIRED, BARE, WRONG = (ObjectId(f"60050000abcdef000000000{n}") for n in range(6))
TRANSCRIPT = ObjectId("60030000abcdef0000000000")


def prompt(identity: ObjectId, clinician: ObjectId, day: int, **others: object) -> dict[str, object]:
    return {
        "_id": identity,
        "prompt_name": f"prompt {day}",
        "prompt_text": "Be brief.",
        "is_shareable": False,
        "is_deleted": False,
        "clinician": clinician,
        "transcript_ids": [],
        "created_at": datetime(2024, 5, day, tzinfo=UTC),
        "__v": 0,
        **others,
    }


PROMPTS = [
    prompt(MINE, AMARA_ID, 1),
    prompt(THEIRS, BOLA_ID, 2),
    prompt(SHARED, BOLA_ID, 3, is_shareable=True),
    prompt(RETIRED, AMARA_ID, 4, is_deleted=True),
    {"_id": BARE, "clinician": AMARA_ID, "is_deleted": False},
    prompt(
        WRONG,
        AMARA_ID,
        5,
        prompt_name=5,
        prompt_text=None,
        is_shareable="yes",
        transcript_ids=KNOWN_ID,
        created_at="yesterday",
        extra={"a": {}, "b": 1},
        __v=2.5,
    ),
]
TRANSCRIPTS = [{"_id": TRANSCRIPT, "clinician": BOLA_ID, "consultation": ABSENT_ID, "transcript_text": "x", "__v": 0}]
BEFORE = {"prompts": PROMPTS, "transcripts": TRANSCRIPTS}
FLAGS: list[Any] = [True, 1, "1", "yes", "no", 0, None, "maybe", 2, [], {}, [True]]
TEXTS: list[Any] = ["text", " trimmed\u00a0", "", "  ", 5, 1.5, True, None, [], ["a"], {}, {"a": 1}, {"_id": "by id"}]


async def test_prompt_requires_name_and_text(differential: Differential) -> None:
    bodies: tuple[object, ...] = (UNSAID, [], {}, [1], {"prompt_name": "only"})
    account = await same(differential, {}, *(action("POST", "/api/prompts", body) for body in bodies))
    assert texts(account) == ['500 {"error":"Internal Server Error"}'] * len(bodies)


async def test_creates_from_values_of_every_type(differential: Differential) -> None:
    whole = {"prompt_name": "name", "prompt_text": "text"}
    bodies = [{**whole, "prompt_name": text} for text in TEXTS]
    bodies += [{**whole, "prompt_text": text, "clinician": KNOWN_ID, "created_at": 5} for text in TEXTS]
    bodies += [{**whole, "is_shareable": flag} for flag in FLAGS]
    account = await same(differential, {}, *(action("POST", "/api/prompts", body) for body in bodies))
    assert sum(text.startswith("201") for text in texts(account)) == 19


USERS: list[Any] = [None, 5, "abc", KNOWN_ID, KNOWN_ID.upper(), {}, {"$ne": None}, [KNOWN_ID], [[]]]


async def test_tokens_of_any_user_are_answered_alike(differential: Differential) -> None:
    stored, requests = [], []
    for index, user in enumerate(USERS):
        token, identity = as_user(user), ObjectId(f"60050000abcdef00000001{index:02x}")
        stored.append(prompt(identity, AMARA_ID, 1))
        path = f"/api/prompts/{identity}"
        requests += [
            action("GET", "/api/prompts", token=token),
            action("PATCH", path, {}, token=token),
            action("DELETE", path, token=token),
            action("POST", "/api/prompts", {"prompt_name": "n", "prompt_text": "t"}, token=token),
        ]
    await same(differential, {**BEFORE, "prompts": [*PROMPTS, *stored]}, *requests)


async def test_own_and_shared_incomplete_prompts_are_listed_alike(differential: Differential) -> None:
    account = await same(
        differential, BEFORE, action("GET", "/api/prompts"), action("GET", "/api/prompts", token=as_user(str(BOLA_ID)))
    )
    assert str(THEIRS) not in texts(account)[0]
    assert all(str(identity) in texts(account)[0] for identity in (MINE, SHARED, BARE, WRONG))


OTHER_IDS = (THEIRS, RETIRED, BARE, WRONG, ABSENT_ID, "abc", "123456789012")


async def test_own_prompts_are_changed_and_retired_alike(differential: Differential) -> None:
    changes = [*({"prompt_name": text} for text in TEXTS), *({"is_shareable": flag} for flag in FLAGS)]
    requests = []
    for identity in (MINE, *OTHER_IDS):
        path = f"/api/prompts/{identity}"
        some = changes if identity == MINE else spread(changes, OTHER_IDS.index(identity), len(OTHER_IDS))
        requests += [action("PATCH", path, body) for body in (*some, [], [1], {}, UNSAID)]
        requests += [action("DELETE", path), action("DELETE", path), action("GET", "/api/prompts")]
    await same(differential, BEFORE, *requests)


@pytest.mark.parametrize("field", ["prompt_text", "created_at", "is_shareable", "toString", "extra"])
async def test_unreadable_prompt_is_not_reported_deleted(differential: Differential, field: str) -> None:
    stored = {**prompt(MINE, AMARA_ID, 1), field: {"toString": 1}}
    await same(
        differential, {"prompts": [stored]}, action("DELETE", f"/api/prompts/{MINE}"), action("GET", "/api/prompts")
    )


CHANGES: list[Any] = [
    [{"constructor": {"name": "Date"}}],
    {"created_at": "2020-01-01", "clinician": KNOWN_ID},
    {"_id": KNOWN_ID},
    {"__v": "7", "transcript_ids": KNOWN_ID},
    {"transcript_ids": ["bad"]},
    {"transcript_ids.0": KNOWN_ID, "nonsense": 1, "non.sense": 2},
    {"$set": {"prompt_text": " set "}, "prompt_name": "n"},
    {"$set": [1]},
    {"$unset": {"prompt_name": 1}},
    {"$inc": {"__v": 3}, "$push": {"transcript_ids": KNOWN_ID}},
    {"$rename": {"prompt_name": "renamed"}},
    {"$unset": "x"},
    {"updated_at": "2020-01-01"},
    {"is_deleted": True},
    {"is_shareable": {"$not": 1}},
    {"_bsontype": "Double", "value": 5, "prompt_name": "n"},
    *({"constructor": {"name": name}, "prompt_name": "n"} for name in ("Date", "RegExp", "Object")),
    {"constructor": 1, "_bsontype": "ObjectId", "prompt_name": "n"},
    *({operator: {"constructor": {"name": "RegExp"}}} for operator in ("$set", "$inc", "$unset")),
    *(
        {"$push": {"transcript_ids": {"constructor": 1, "_bsontype": kind, "id": KNOWN_ID}}}
        for kind in ("ObjectId", None)
    ),
    {"toString": {"$isMongooseMap": 1}},
]


async def test_any_field_changes_under_keep_legacy_prompt_fields(differential: Differential) -> None:
    stored, requests = [], []
    for index, change in enumerate(CHANGES):
        identity = ObjectId(f"60050000abcdef00000001{index:02x}")
        stored.append(prompt(identity, AMARA_ID, 1))
        requests += [action("PATCH", f"/api/prompts/{identity}", change), action("GET", "/api/prompts")]
    await same(differential, {"prompts": stored}, *requests)


async def test_prompt_links_to_its_transcript(differential: Differential) -> None:
    links = itertools.product((MINE, RETIRED, THEIRS, ABSENT_ID, "abc"), (TRANSCRIPT, ABSENT_ID, "abc"))
    await same(
        differential, BEFORE, *(action("PATCH", f"/api/prompts/{used}/add-prompt/{linked}") for used, linked in links)
    )


async def test_change_sets_name_text_and_flag_only(native: Backend) -> None:
    headers = {"authorization": f"Bearer {token_of({'userID': str(AMARA_ID)})}"}
    native.database["prompts"].delete_many({})
    native.database["prompts"].insert_one(prompt(MINE, AMARA_ID, 1))
    given = {"prompt_name": "new", "is_shareable": "yes", "is_deleted": True, "clinician": KNOWN_ID, "__v": 9}
    body = {**given, "$set": {"prompt_text": "x"}, "$unset": {"prompt_text": 1}, "transcript_ids": [KNOWN_ID]}
    answer = await native.client.patch(f"/api/prompts/{MINE}", json=body, headers=headers)
    assert answer.status_code == 200
    stored = native.database["prompts"].find_one({"_id": MINE}) or {}
    assert type(stored.pop("updated_at")) is datetime
    changed = {"prompt_name": "new", "is_shareable": True, "created_at": datetime(2024, 5, 1)}
    assert stored == {**prompt(MINE, AMARA_ID, 1), **changed}


async def test_concurrent_lists_differ_by_user(mongodb_url: str, native: Backend) -> None:
    native.database["prompts"].delete_many({})
    native.database["prompts"].insert_many(PROMPTS)
    store = Store(mongodb_url, native.database.name)
    prompts = Prompts(store.prompts)
    alone = [await prompts.list_for(one) for one in (AMARA_ID, BOLA_ID, ABSENT_ID)]
    lists = [prompts.list_for(one) for one in (AMARA_ID, BOLA_ID, ABSENT_ID, AMARA_ID)]
    together = [await task for task in [asyncio.ensure_future(one) for one in lists]]
    assert together == [*alone, alone[0]]
    assert [document["_id"] for document in alone[1]] == [SHARED, THEIRS]
    await store.close()
