"""Dry runs of the native app beside the serving demo legacy leave no trace."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
import pytest_asyncio
from bson import ObjectId
from starlette.applications import Starlette
from starlette.types import Message

from handlers.app import create_app, is_of_dialect, legacy_dialect
from handlers.container import create_services, offline_services
from handlers.dry_run import DryRunMiddleware
from handlers.services.offline import CODES, HIGHLIGHTS, TEXT
from handlers.settings import Settings
from handlers.storage.store import Store
from proxy.backends.native import Native
from proxy.recordings.compare_side_effects import compare_documents
from proxy.recordings.model import RecordedRequest
from proxy.types import JSON
from tests.differential.people import ABSENT, OTHER_TOKEN, PASSWORD
from tests.differential.people import TOKEN as FOREVER
from tests.support.backend_pair import BackendPair, Outside, RunningBackend, get, names, post, read
from tests.support.backends import NOWHERE, SECRET, settings_for
from tests.support.clinic import CONSULTATION, DOCUMENTS, NOTE, PROMPT, TRANSCRIPT
from tests.support.dry_runs import DryRunAnswer, NoProcesses, dry_run, scope_of, whole
from tests.support.outside_services import lasting
from tests.support.patient_timings import PATIENT
from tests.support.random_seed import seed_of
from tests.support.sockets import serving
from tests.support.waiting import PROMPT_TIMEOUT

pytestmark = pytest.mark.asyncio(loop_scope="session")

TIMES: Final = 1000
PLANTED: Final = {**DOCUMENTS, "blacktokens": [{"_id": ObjectId(), "blackToken": "x"}]}
START: Final = post("/api/consultation/start", {"patient_data": {"name": "Ann"}}, FOREVER)
END: Final = post(f"/api/consultation/{CONSULTATION}/end", {"prompt_used": PROMPT}, FOREVER)
ADD_NOTE: Final = post(f"/api/notes/{CONSULTATION}", {"body": "b", "transcriptId": TRANSCRIPT}, FOREVER)
REGISTER: Final = post("/users/register", {"username": "b", "email": "b@x", "password": "p", "role": "patient"})
LOGOUT: Final = post("/users/logout", token=FOREVER)


@dataclass(frozen=True)
class DryRunApp:
    """The native app for dry runs on the demo legacy's database, and outside services that must not be called."""

    app: Starlette
    legacy: RunningBackend
    outside: Outside

    async def dry_run(self, request: RecordedRequest, deadline: float = 20.0) -> DryRunAnswer:
        return await dry_run(self.app, request, deadline)

    def plant(self) -> None:
        database = self.legacy.database
        for name in database.list_collection_names():
            database[name].delete_many({})
        for name, documents in PLANTED.items():
            database[name].insert_many([dict(document) for document in documents])

    def whole(self) -> object:
        return whole(self.legacy.database)

    def stored(self) -> dict[str, list[JSON]]:
        return {name: self.legacy.documents(name) for name in sorted(self.legacy.database.list_collection_names())}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dry_run_app(backends: BackendPair, mongodb_url: str) -> AsyncIterator[DryRunApp]:
    outside, database = Outside(), backends.legacy.database
    store = Store(mongodb_url, database.name)
    await store.make_indexes()
    await store.close()
    async with lasting(outside) as port:
        here = f"http://127.0.0.1:{port}"
        app = create_app(
            Settings.load(
                mongodb_url=mongodb_url,
                database_name=database.name,
                jwt_secret_key=SECRET,
                openai_api_key="sk-test",
                openai_base_url=f"{here}/v1",
                nhs_auth_url=f"{here}/token",
                nhs_api_url=f"{here}/",
            ),
            PATIENT,
        )
        async with app.router.lifespan_context(app):
            yield DryRunApp(app, backends.legacy, outside)


@pytest.fixture(autouse=True)
def planted(dry_run_app: DryRunApp) -> None:
    dry_run_app.plant()


def writes() -> list[RecordedRequest]:
    """Return writes of every kind, valid and invalid."""

    def change(method: str, path: str, body: Any = ..., token: str = FOREVER) -> RecordedRequest:
        return post(path, body, token, method)

    prompt: dict[str, JSON] = {"prompt_name": "n", "prompt_text": "t", "is_shareable": True}
    gone = post("/api/prompts", prompt, "not.a.token")
    return [
        REGISTER,
        post("/users/register", {"username": "c", "email": "amara@x", "password": "p", "role": "clinician"}),
        post("/users/login", {"email": "amara@x", "password": PASSWORD}),
        post("/users/login", {"email": {"$gt": ""}, "password": PASSWORD}),
        LOGOUT,
        START,
        post("/api/consultation/start", token=FOREVER),
        END,
        post(f"/api/consultation/{CONSULTATION}/end", {"prompt_used": ABSENT}, FOREVER),
        post(f"/api/consultation/{ABSENT}/end", {"prompt_used": PROMPT}, FOREVER),
        post("/api/transcript/update-text", {"transcript_id": TRANSCRIPT, "transcript_text": "text"}, FOREVER),
        post("/api/transcript/update-text", {"transcript_id": TRANSCRIPT, "transcript_text": "x"}, OTHER_TOKEN),
        post("/api/transcript/update-text", {"transcript_id": "odd", "transcript_text": "text"}, FOREVER),
        ADD_NOTE,
        post(f"/api/notes/{ABSENT}", {"body": "b", "transcriptId": TRANSCRIPT}, FOREVER),
        post(f"/api/notes/{CONSULTATION}", {"body": "b", "transcriptId": "odd"}, FOREVER),
        change("PATCH", f"/api/notes/{NOTE}", {"body": "other"}),
        change("PATCH", f"/api/notes/{NOTE}", {"body": "other"}, OTHER_TOKEN),
        change("DELETE", f"/api/notes/{NOTE}"),
        change("DELETE", f"/api/notes/{ABSENT}"),
        post("/api/prompts", prompt, FOREVER),
        post("/api/prompts", {"prompt_name": ""}, FOREVER),
        gone,
        change("PATCH", f"/api/prompts/{PROMPT}", prompt),
        change("PATCH", f"/api/prompts/{PROMPT}", {"prompt_name": {"$set": 1}}),
        change("PATCH", f"/api/prompts/{PROMPT}/add-prompt/{TRANSCRIPT}", {}),
        change("PATCH", f"/api/prompts/{PROMPT}/add-prompt/{ABSENT}", {}),
        change("DELETE", f"/api/prompts/{PROMPT}"),
        change("DELETE", f"/api/prompts/{PROMPT}", token=OTHER_TOKEN),
        post(f"/api/ai/{CONSULTATION}/summarise", {"usedPrompt": "u"}, FOREVER),
        post("/api/ai/search?query=q", token=FOREVER),
        post("/api/ai/analyze", {"prompt": "p", "images": ["https://x"]}, FOREVER),
        get("/api/ai/search/clinicalcodes?name=x", FOREVER),
        post("/api/consultation/start", "no object", FOREVER),
        RecordedRequest("POST", "/api/prompts", (("content-type", "application/json"),), b"{"),
    ]


def unserved() -> list[RecordedRequest]:
    """Return the requests that crash the legacy, or that it never answers."""
    return [
        post("/users/register", {"username": "", "email": "c@x", "password": "p", "role": "king"}),
        post("/users/login", {"email": "amara@x", "password": "wrong"}),
        post("/users/logout"),
    ]


async def give_up(dry_run_app: DryRunApp, request: RecordedRequest, seconds: float) -> None:
    """Cancel a request after a while, as its client would."""
    task = asyncio.create_task(dry_run_app.dry_run(request))
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait([task])


async def hurry(dry_run_app: DryRunApp, request: RecordedRequest, seconds: float) -> None:
    """Run a request with less time than it may need."""
    try:
        await dry_run_app.dry_run(request, seconds)
    except TimeoutError:
        return


async def dry_run_often(dry_run_app: DryRunApp, times: int, seed: int) -> list[DryRunAnswer]:
    """Run writes of every kind in any order, four at a time; interrupt every tenth in one of several ways."""
    chance = random.Random(seed)
    requests = list(itertools.islice(itertools.cycle(writes() + unserved()), times))
    chance.shuffle(requests)
    answered: list[DryRunAnswer] = []
    numbered = iter(enumerate(requests))

    async def work() -> None:
        for number, request in numbered:
            if number % 20 == 0:
                await give_up(dry_run_app, request, chance.uniform(0, 0.01))
            elif number % 20 == 10:
                await hurry(dry_run_app, request, chance.uniform(0, 0.01))
            else:
                answered.append(await dry_run_app.dry_run(request))

    await asyncio.gather(*(work() for _ in range(4)))
    return answered


@pytest.mark.seeded
@pytest.mark.slow
async def test_thousand_dry_runs_change_no_byte(dry_run_app: DryRunApp) -> None:
    before = dry_run_app.whole()
    answered = await dry_run_often(dry_run_app, TIMES, seed=seed_of(1))
    assert dry_run_app.whole() == before
    assert dry_run_app.outside.calls == []
    assert len(answered) == TIMES * 9 / 10
    assert all(each.reported_first for each in answered)
    wrote = {kind for each in answered for kind in each.kinds}
    assert wrote == {
        *itertools.product(["insert"], ["users", "blacktokens", "consultations", "transcripts", "notes", "prompts"]),
        *itertools.product(["update"], ["transcripts", "consultations", "notes", "prompts"]),
        ("delete", "notes"),
    }
    assert {each.status for each in answered} == {200, 201, 400, 401, 403, 404, 500}


@pytest.mark.seeded
async def test_database_beside_dry_runs_equals_legacys_alone(dry_run_app: DryRunApp) -> None:
    async def serve() -> dict[str, list[JSON]]:
        dry_run_app.plant()
        for request in served:
            assert (await dry_run_app.legacy.send(request)).outcome == "response"
        return dry_run_app.stored()

    served = [*(request for request in writes() if request != LOGOUT), *[START, ADD_NOTE] * 5, LOGOUT]
    alone = await serve()
    dry_runs = asyncio.create_task(dry_run_often(dry_run_app, 150, seed=seed_of(2)))
    together = await serve()
    answered = await dry_runs
    assert dry_run_app.outside.calls == []
    assert any(each.writes for each in answered)
    same = names()
    assert alone.keys() == together.keys()
    assert [
        difference for name in alone for difference in compare_documents(name, alone[name], together[name], same)
    ] == []
    assert {name: len(documents) for name, documents in alone.items()} == {
        name: len(documents) for name, documents in together.items()
    }


async def test_dry_run_answers_as_a_write(dry_run_app: DryRunApp) -> None:
    ended = await dry_run_app.dry_run(END)
    body = ended.read()
    assert (body["summary"], body["transcript"]["summary"]) == (TEXT, TEXT)
    assert body["highlights"] == json.loads(HIGHLIGHTS)
    assert ended.kinds == [("update", "transcripts"), ("update", "consultations")]
    assert ended.writes[0]["update"]["$set"]["summary"] == TEXT
    assert ended.writes[1]["filter"] == {"_id": {"$oid": CONSULTATION}}
    started = await dry_run_app.dry_run(START)
    assert [write["document"]["_id"]["$oid"] for write in started.writes] == [
        started.read()["data"]["consultation"]["_id"],
        started.read()["data"]["transcript"]["_id"],
    ]
    codes = await dry_run_app.dry_run(get("/api/ai/search/clinicalcodes?name=x", FOREVER))
    assert codes.read() == {"name": CODES[0].name, "code": CODES[0].code, "url": CODES[0].url}
    assert codes.writes == []


async def test_refused_link_reports_the_writes_legacy_would_leave(dry_run_app: DryRunApp) -> None:
    # The note and its link are one transaction. The link is refused, and the legacy keeps the note without it.
    dry_run_app.legacy.database.consultations.update_one({}, {"$set": {"notes": "64b7f0f0f0f0f0f0f0f0f0f0"}})
    before = dry_run_app.whole()
    answer = await dry_run_app.dry_run(ADD_NOTE)
    assert (answer.status, answer.kinds) == (500, [("insert", "notes")])
    assert dry_run_app.whole() == before
    assert (await dry_run_app.legacy.send(ADD_NOTE)).status == 500
    assert dry_run_app.legacy.database.notes.count_documents({}) == 2


async def test_dry_runs_change_nothing_in_memory(dry_run_app: DryRunApp) -> None:
    # After a dry run of a logout the caller is still logged in, after one of a registration the address is still free.
    await asyncio.gather(*(dry_run_app.dry_run(request) for request in [LOGOUT, REGISTER, START, ADD_NOTE, END] * 3))
    requests = [
        get("/users/profile", FOREVER),
        get("/users/users/checkEmail?email=b@x"),
        get("/api/consultation", FOREVER),
    ]
    async with serving(dry_run_app.app) as port:
        native = RunningBackend(
            dry_run_app.legacy.origin.parse(f"http://127.0.0.1:{port}"),
            dry_run_app.legacy.database,
            dry_run_app.outside,
        )
        profile, free, consultations = [await native.send(request) for request in requests]
    assert profile.status == 200
    assert read(free) == {"available": True}
    assert [(each["status"], each["notes"]) for each in read(consultations)["consultations"]] == [("active", [])]


async def test_dry_run_over_its_deadline_has_no_answer(dry_run_app: DryRunApp) -> None:
    database = dry_run_app.legacy.database
    before = dry_run_app.whole()
    with database.client.start_session() as session, session.start_transaction():
        database.consultations.update_one({}, {"$set": {"status": "held"}}, session=session)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await dry_run_app.dry_run(ADD_NOTE, 0.1)
        assert time.monotonic() - began < PROMPT_TIMEOUT
        session.abort_transaction()
    assert dry_run_app.whole() == before
    began = time.monotonic()
    assert (await dry_run_app.legacy.send(ADD_NOTE)).status == 201
    assert time.monotonic() - began < PROMPT_TIMEOUT


async def test_expired_deadline_has_no_answer(dry_run_app: DryRunApp) -> None:
    with pytest.raises(TimeoutError):
        await dry_run_app.dry_run(START, -1)


async def test_missing_reaper_has_no_answer(dry_run_app: DryRunApp, mongodb_url: str) -> None:
    # Otherwise the dialect would answer that the database is unavailable.
    settings = settings_for(mongodb_url, dry_run_app.legacy.database.name)
    services = create_services(settings, reaper=NoProcesses(mongodb_url))
    dialect = legacy_dialect(offline_services(services, settings), settings)
    try:
        with pytest.raises(TimeoutError, match="in time"):
            await dry_run(DryRunMiddleware(dialect, services.store, accepts=is_of_dialect), START)
    finally:
        await services.close()


async def test_requests_outside_the_dialect_are_declined(dry_run_app: DryRunApp) -> None:
    for target in ("/api/v1/x", "/api/v1/auth/register"):
        answer = await dry_run_app.dry_run(post(target, {"a": 1}))
        assert (answer.status, answer.body, answer.writes, answer.reported_first) == (501, b"", None, True)


async def test_websocket_is_declined(dry_run_app: DryRunApp) -> None:
    reports: list[object] = []
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = scope_of(get("/transcription-stream"), {"proxy.dry_run": {"deadline": 1.0, "report": reports.append}})
    await dry_run_app.app({**scope, "type": "websocket"}, receive, send)
    assert (reports, sent) == ([None], [{"type": "websocket.close"}])


async def test_websocket_with_the_legacys_messages_runs_dry(dry_run_app: DryRunApp) -> None:
    reports: list[object] = []
    sent: list[Message] = []
    messages: list[Message] = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    async def until(_: int) -> None:
        raise AssertionError("no call to the model is recorded")

    recorded = {"served": [], "sent": [], "until": until}
    dry = {"proxy.dry_run": {"deadline": 1.0, "report": reports.append, **recorded}}
    await dry_run_app.app({**scope_of(get("/transcription-stream"), dry), "type": "websocket"}, receive, send)
    assert (reports, [message["type"] for message in sent]) == ([[]], ["websocket.accept", "websocket.send"])


async def test_requests_without_the_extension_are_served(dry_run_app: DryRunApp) -> None:
    async with serving(dry_run_app.app) as port:
        native = RunningBackend(
            dry_run_app.legacy.origin.parse(f"http://127.0.0.1:{port}"),
            dry_run_app.legacy.database,
            dry_run_app.outside,
        )
        assert (await native.send(START)).status == 200
    assert dry_run_app.legacy.database.consultations.count_documents({}) == 2


async def test_app_declares_dry_runs(mongodb_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"MONGODB_URL": mongodb_url, "DATABASE_NAME": "test_declares", "JWT_SECRET_KEY": SECRET}
    for name, value in {**settings, "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": NOWHERE}.items():
        monkeypatch.setenv(name, value)
    native = Native("handlers.app:app")
    await native.start()
    assert native.state["proxy.dry_run"] is True
    await native.stop()
