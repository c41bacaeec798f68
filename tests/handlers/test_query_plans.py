"""MongoDB's profiler records the plan of each query that the native app makes: each uses an index."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
from bson import ObjectId
from pymongo.database import Database

from handlers.services.token_blocklist import TokenBlocklist
from handlers.storage import counters
from handlers.storage.indexes import INDEXES
from handlers.storage.store import Store
from handlers.v1.app import PREFIX, route_methods
from tests.differential.people import AMARA
from tests.support.clinic import CONSULTATION, DOCUMENTS, NOTE, PROMPT, TRANSCRIPT, everything
from tests.support.v1_client import TOKENS, Surface, v1_surface
from tests.support.waiting import HANG_TIMEOUT

PATHS = {
    "consultation_id": CONSULTATION,
    "transcript_id": TRANSCRIPT,
    "note_id": NOTE,
    "prompt_id": PROMPT,
}
ACCOUNT: dict[str, object] = {"email": "new@clinic.example", "password": "correct horse"}
BODIES: dict[str, dict[str, object]] = {
    "POST /users/register": {**ACCOUNT, "username": "new", "role": "patient"},
    "POST /users/login": ACCOUNT,
    "POST /consultations/start": {},
    "POST /consultations/{consultation_id}/end": {"prompt_id": PROMPT},
    "PUT /transcripts/{transcript_id}": {"text": "t"},
    "POST /notes": {"consultation_id": CONSULTATION, "body": "b"},
    "PATCH /notes/{note_id}": {"body": "b"},
    "POST /prompts": {"name": "n", "text": "t"},
    "PATCH /prompts/{prompt_id}": {"name": "n"},
    "POST /ai/search": {"query": "q"},
    "POST /ai/summary": {"consultation_id": CONSULTATION},
    "POST /ai/images": {"images": ["https://x.example/a.png"]},
}
QUERIES = {
    "/consultations": "?limit=2&offset=1",
    "/prompts": "?limit=2&offset=1",
    "/notes": f"?consultation_id={CONSULTATION}&limit=2&offset=1",
    "/ai/codes": "?name=x",
}


async def test_queries_all_use_an_index(mongodb_url: str) -> None:
    async with v1_surface(mongodb_url, rate_limits_shared=True) as surface:
        database = surface.database
        await _until_indexed(database)
        _plant(database)
        database.command("profile", 2)
        await _call_legacy_dialect(surface)
        _plant(database)
        statuses = await _call_v1(surface)
        await _sweep(mongodb_url, database.name)
        database.command("profile", 0)
        plans = list(_plans(database))
    assert {name: status for name, status in statuses.items() if status not in (200, 201, 204)} == {}
    assert [plan for plan in plans if "COLLSCAN" in plan[1]] == []
    assert plans
    assert {namespace for namespace, *_ in plans} == {*INDEXES, *counters.INDEXES}


async def _until_indexed(database: Database[dict[str, Any]]) -> None:
    expected = {name: len(models) + 1 for name, models in {**INDEXES, **counters.INDEXES}.items()}
    async with asyncio.timeout(HANG_TIMEOUT):
        while {name: len(database[name].index_information()) for name in expected} != expected:
            await asyncio.sleep(0.05)


def _plant(database: Database[dict[str, Any]]) -> None:
    for name, documents in DOCUMENTS.items():
        database[name].delete_many({})
        database[name].insert_many([dict(document) for document in documents])
    database["blacktokens"].delete_many({})


async def _call_legacy_dialect(surface: Surface) -> None:
    """Send each request alone, then all reads at once, which share their queries."""
    requests = everything()
    for request in requests:
        await surface.client.request(
            request.method, request.target, headers=dict(request.headers), content=request.body
        )
    reads = [request for request in requests if request.method == "GET"]
    people = [surface.person() for _ in range(3)]
    await asyncio.gather(
        *(surface.client.get(request.target, headers=person.headers) for request in reads for person in people)
    )


async def _call_v1(surface: Surface) -> dict[str, int]:
    token = TOKENS.issue(ObjectId(AMARA), "a")
    statuses = {}
    for name in _v1_operations():
        method, _, template = name.partition(" ")
        path = template.format(**PATHS) + QUERIES.get(
            template, "" if method != "GET" or "{" in template else "?limit=2"
        )
        answer: httpx.Response = await surface.client.request(
            method, PREFIX + path, headers={"authorization": f"Bearer {token}"}, json=BODIES.get(name)
        )
        statuses[name] = answer.status_code
    return statuses


def _v1_operations() -> Iterator[str]:
    """Call every operation of v1, deletions and the logout last."""
    operations = [
        f"{method} {path.removeprefix(PREFIX).replace(':id}', '}')}"
        for path, methods in route_methods()
        for method in methods
        if path.startswith(PREFIX)
    ]
    last = {"DELETE": 1, "POST": 0}
    yield from sorted(operations, key=lambda name: (name.endswith("/logout"), last.get(name.split()[0], 0)))


async def _sweep(mongodb_url: str, name: str) -> None:
    store = Store(mongodb_url, name)
    await store.blacktokens.insert({"_id": ObjectId("600000000000000000000001"), "blackToken": "not a token"})
    assert await TokenBlocklist(store.blacktokens, 60, store.now).remove_expired() == 1
    await store.close()


def _plans(database: Database[dict[str, Any]]) -> Iterator[tuple[str, str, object]]:
    """Yield the collection, the plan and the command of each query."""
    own = f"{database.name}."
    for entry in database["system.profile"].find({"planSummary": {"$exists": True}}):
        if entry["ns"].startswith(own) and entry.get("appName") == "scribe-native":
            yield entry["ns"].removeprefix(own), entry["planSummary"], entry.get("command")
