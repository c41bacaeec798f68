"""A canary in every field of faulty requests and answers appears in no log, metric, page, report or webhook.

The native app runs with a model, a terminology server, a MongoDB and a legacy whose errors quote the canary.
`tests/proxy/reports/test_privacy.py` does the same for comparisons, samples, captures and `report`.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from bson import json_util
from pymongo import MongoClient

from demo.services import backend_environment
from tests.hostile.person import Person, endpoints
from tests.support.backends import scratch_database
from tests.support.command_line import served
from tests.support.outside_services import Answer, Script
from tests.support.sockets import exchange, scripted, serving
from tests.support.waiting import BRIEFLY_IDLE, HANG_TIMEOUT

CANARY = "Zqcanary7x"
EMAIL = f"{CANARY}@clinic.example"
FAULT = json.dumps({"error": {"message": CANARY, "type": CANARY, "code": CANARY}}).encode()
FAULTS = (
    Answer(500, FAULT),
    Answer(400, FAULT, headers=((b"x-request-id", CANARY.encode()),)),
    Answer(200, f'{{"{CANARY}'.encode()),
    Answer(200, json.dumps({"choices": CANARY, "access_token": None, "entry": CANARY}).encode()),
    Answer(401, CANARY.encode(), CANARY),
    Answer(200, FAULT, cut=True),
    Answer(302, b"", headers=((b"location", f"http://127.0.0.1:1/{CANARY}".encode()),)),
)
LEGACY_FAULTS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n%b\r\n\r\n",
    b"HTTP/9.%b\r\n\r\n",
    b"HTTP/1.1 500 %b\r\nX-%b: %b\r\nContent-Length: 10000\r\n\r\n%b",
    b"%b",
)
PAGES = ("/", "/live", "/history", "/config", "/divergences", "/drift", "/comparisons", "/index.json", "/status.json")


class FaultyLegacy:
    """A legacy whose answers are not HTTP, each in a different way."""

    def __init__(self) -> None:
        self.number = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(LEGACY_FAULTS[self.number % len(LEGACY_FAULTS)].replace(b"%b", CANARY.encode()))
        self.number += 1


class Faulty(Script):
    """An outside service that returns every fault in turn."""

    def _choose(self, body: bytes) -> Answer:
        return self.answers[len(self.bodies) % len(self.answers)]


def requests(person: Person, client: httpx.AsyncClient) -> Iterator[httpx.Request]:
    """Return requests with the canary in every field of every endpoint, in paths, queries, headers and tokens."""
    odd = {"x-request-id": CANARY, "user-agent": CANARY, "cookie": f"{CANARY}={CANARY}", "x-caller": CANARY}
    headers = {**person.headers, **odd}
    for method, path, fields in endpoints(person):
        whole = dict.fromkeys(fields, CANARY) | {"email": EMAIL, CANARY: CANARY}
        yield client.build_request(method, path, headers=headers, json=whole)
        yield client.build_request(
            method, path, headers=headers, json=whole | {key: {CANARY: [CANARY]} for key in fields}
        )
        broken = {**headers, "content-type": "application/json"}
        yield client.build_request(method, path, headers=broken, content=f'{{"{CANARY}":"{CANARY}'.encode())
        token = {**odd, "authorization": f"Bearer {CANARY}.{CANARY}.{CANARY}"}
        yield client.build_request(method, path.rpartition("/")[0] + f"/{CANARY}?{CANARY}={CANARY}", headers=token)
        yield client.build_request(method, path.rpartition("/")[0] + f"/{CANARY}?{CANARY}={CANARY}", headers=headers)
    for _ in FAULTS:
        search = f"/api/ai/search/clinicalcodes?query={CANARY}&searchText={CANARY}"
        yield client.build_request("GET", search, headers=headers)
        yield client.build_request("POST", "/api/v1/ai/search", headers=headers, json={"query": CANARY})
        wanted = {"consultation_id": str(person.consultation), "instructions": CANARY}
        yield client.build_request("POST", "/api/v1/ai/summary", headers=headers, json=wanted)
        summary = f"/api/ai/{person.consultation}/summarise"
        yield client.build_request("POST", summary, headers=headers, json={"usedPrompt": CANARY})
        yield client.build_request("GET", f"/old/{CANARY}?{CANARY}", headers=headers)


def routing(legacy: int, hook: int, mongodb: str, database: str) -> str:
    guard = {"minimum": 4, "min_callers": 1, "window": "10s"}
    return json.dumps(
        {
            "legacy": {"url": f"http://127.0.0.1:{legacy}", "timeouts": {"response": "2s"}},
            "native": "handlers.app:app",
            "mongodb": {"url": mongodb, "database": database},
            "bucketing": {"key": ["jwt:userID", "header:x-caller"]},
            "notify": {"url": f"http://127.0.0.1:{hook}/"},
            "shadow": {"max_cpu_wait": "100%"},
            "routes": [
                {"name": "old", "match": "GET /old/*", "native": "0%", "shadow": "100%"},
                {"name": "ai", "match": "* /api/ai/*", "native": "100%"},
                {"name": "notes", "match": "* /api/notes/*", "native": "100%", "guard": guard},
                {"name": "all", "match": "* /*", "native": "100%"},
                {"name": "stream", "match": "WS /transcription-stream", "native": "100%"},
            ],
        }
    )


async def test_canary_of_faulty_exchanges_appears_nowhere(
    tmp_path: Path, mongodb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, hook = Faulty(FAULTS), Script([Answer()])
    texts: dict[str, str] = {}
    with scratch_database(mongodb_url) as database:
        database.users.insert_many([{"email": EMAIL}, {"email": EMAIL}])  # the unique index cannot be made: E11000
        person = Person.store(database)
        async with (
            serving(outside) as outside_port,
            serving(hook) as hook_port,
            scripted(FaultyLegacy()) as legacy,
        ):
            environment = backend_environment(mongodb_url, f"http://127.0.0.1:{outside_port}", database.name)
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            file = tmp_path / "routing.yaml"
            file.write_text(routing(legacy, hook_port, mongodb_url, f"{database.name}_gateway"))
            async with served(file) as (process, port, ops):
                statuses = await send_all(port, person)
                await exchange(port, f"GET /{CANARY} HTTP/9.9\r\n\r\n".encode())
                texts |= await pages(ops)
                process.send_signal(signal.SIGTERM)
                stdout, stderr = await process.communicate()
        texts["stdout"], texts["stderr"] = stdout.decode(), stderr.decode()
        texts["webhook"] = b"".join(hook.bodies).decode()
        texts["reports"] = documents(mongodb_url, f"{database.name}_gateway")
    assert {200, 400, 401, 404, 500, 502} <= statuses
    assert any(CANARY.encode() in body for body in outside.bodies)
    assert "notes is capped" in texts["stderr"]
    assert "DuplicateKeyError (code 11000)" in texts["stderr"]
    assert "answered 502 to" in texts["stderr"]
    assert '"cap"' in texts["webhook"]
    assert '"legacy_bad_answer"' in texts["stdout"]
    assert {name for name, text in texts.items() if CANARY.lower() in text.lower()} == set()


async def send_all(port: int, person: Person) -> set[int]:
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", timeout=30, verify=False, limits=BRIEFLY_IDLE
    ) as client:
        async with asyncio.TaskGroup() as tasks:
            limit = asyncio.Semaphore(8)

            async def send(request: httpx.Request) -> int:
                async with limit:
                    try:
                        return (await client.send(request)).status_code
                    except httpx.RemoteProtocolError:  # an answer of legacy's that broke off
                        return 0

            sent = [tasks.create_task(send(request)) for request in requests(person, client)]
        return {task.result() for task in sent}


async def pages(ops: int) -> dict[str, str]:
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{ops}", verify=False, limits=BRIEFLY_IDLE, timeout=HANG_TIMEOUT
    ) as client:
        answers = {page: await client.get(page) for page in (*PAGES, "/metrics", "/routes/ai", "/routes/old")}
    assert {answer.status_code for answer in answers.values()} == {200}
    return {page: answer.text for page, answer in answers.items()}


def documents(mongodb_url: str, name: str) -> str:
    with MongoClient[dict[str, object]](mongodb_url) as client:
        database = client[name]
        collections = [list(database[collection].find()) for collection in database.list_collection_names()]
        client.drop_database(name)
    return json_util.dumps(collections, ensure_ascii=False)
