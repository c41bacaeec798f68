"""The native app without a database, and requests that arrive together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bson import ObjectId

from demo.mongod import Mongod
from handlers.container import TIMINGS, ServiceTimings
from proxy.comparison.answers import DecodedAnswer
from proxy.recordings.model import RecordedRequest
from proxy.types import JSON
from tests.differential.people import TOKEN as FOREVER
from tests.support.backend_pair import BackendPair, RunningBackend, get, native_backend, post, read, shows
from tests.support.clinic import CONSULTATION, DOCUMENTS, TRANSCRIPT, everything
from tests.support.mongodb_relay import Relay, command
from tests.support.waiting import PROMPT_TIMEOUT

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def timed(native: RunningBackend, request: RecordedRequest) -> tuple[DecodedAnswer, float]:
    began = time.monotonic()
    return await native.send(request), time.monotonic() - began


async def assert_unavailable(native: RunningBackend) -> None:
    """Assert that requests fail in time and as in the legacy, and that those without the database are unaffected."""
    requests = everything()
    results = await asyncio.gather(*(timed(native, request) for request in requests))
    for request, (answer, seconds) in zip(requests, results, strict=True):
        assert (answer.status, seconds < PROMPT_TIMEOUT) == (503, True), (request, answer, seconds)
        assert answer.headers["x-powered-by"] == "Express"
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        if request.method != "HEAD":
            assert read(answer)["error"] == "database_unavailable"
    welcome, refused, missing = await asyncio.gather(
        native.send(get("/")), native.send(get("/api/prompts")), native.send(get("/nowhere"))
    )
    assert (welcome.status, refused.status, missing.status) == (200, 401, 404)


async def assert_back(native: RunningBackend) -> None:
    """Assert that documents can soon be read and written again, and that no aborted operation locks one."""
    deadline = time.monotonic() + 50  # the server itself would hold a transaction for 60
    while (await native.send(get("/users/profile", FOREVER))).status == 503:  # the driver checks twice a second
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    native.database.blacktokens.delete_many({})
    for name, documents in DOCUMENTS.items():
        native.database[name].delete_many({})
        native.database[name].insert_many([dict(document) for document in documents])
    for request in everything():
        while (answer := await native.send(request)).status == 503 and time.monotonic() < deadline:
            await asyncio.sleep(0.05)  # the first write may come before the primary is known
        assert answer.status in (200, 201), (request, answer)


@contextlib.contextmanager
def paused(mongod: Mongod) -> Iterator[None]:
    """Pause a MongoDB, so that it accepts connections and does not answer."""
    pid = mongod.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_database_outages_are_503_and_recover(tmp_path: Path) -> None:
    mongod = Mongod(tmp_path / "data")
    try:
        async with native_backend(mongod.url, timings=TIMINGS) as native:
            await assert_unavailable(native)
            await asyncio.to_thread(mongod.start)
            await assert_back(native)
            await asyncio.to_thread(mongod.stop)
            await assert_unavailable(native)
            await asyncio.to_thread(mongod.start)
            await assert_back(native)
            with paused(mongod):
                await assert_unavailable(native)
            await assert_back(native)
    finally:
        await asyncio.to_thread(mongod.stop)


async def test_writes_to_a_silent_database_are_aborted_later(mongodb_url: str) -> None:
    # A note is stored and its link is being written: the transaction must not lock the consultation until it expires.
    timings = ServiceTimings(database_timeout=1.0)
    with Relay(mongodb_url) as relay:
        relay.mend()
        async with native_backend(mongodb_url, through=relay.url, timings=timings) as native:
            BackendPair(native, native).plant(DOCUMENTS)
            request = post(f"/api/notes/{CONSULTATION}", {"body": "b", "transcriptId": TRANSCRIPT}, FOREVER)
            relay.hang_at(command("update", "consultations"))
            while relay.is_armed:  # a busy machine may refuse a request before its second write
                assert (await native.send(request)).status == 503
            await asyncio.sleep(0.2)
            relay.mend()
            deadline = time.monotonic() + 50
            while (again := await native.send(request)).status != 201:
                assert (again.status, time.monotonic() < deadline) == (503, True)
            [consultation] = native.database.consultations.find()
            written = {note["_id"] for note in native.database.notes.find({"body": "b"})}
            # A busy machine may confirm a repetition's commit after its 503, so that there is a note more.
            assert written == set(consultation["notes"])
            assert ObjectId(read(again)["note"]["_id"]) in written


async def test_first_request_does_not_wait_for_indexes(mongodb_url: str) -> None:
    async with native_backend(mongodb_url) as native:
        started = await asyncio.gather(
            *(native.send(post("/api/consultation/start", {"patient_data": n}, FOREVER)) for n in range(5))
        )
        assert [answer.status for answer in started] == [200] * 5


async def test_concurrent_notes_are_all_stored_and_linked(backends: BackendPair) -> None:
    backends.plant(DOCUMENTS)
    request = post(f"/api/notes/{CONSULTATION}", {"body": "b", "transcriptId": TRANSCRIPT}, FOREVER)
    for backend in (backends.legacy, backends.native):
        answers = await asyncio.gather(*(backend.send(request) for _ in range(16)))
        assert {answer.status for answer in answers} == {201}
        [consultation] = backend.database.consultations.find()
        made = {read(answer)["note"]["_id"] for answer in answers}
        assert {str(note) for note in consultation["notes"]} == made
        assert consultation["__v"] == len(consultation["notes"]) == 16


@shows("register-refused")
async def test_registration_that_mongodb_refuses(backends: BackendPair) -> None:
    backends.plant(DOCUMENTS)
    refusing = {"username": {"$ne": "refused"}}
    try:
        for backend in (backends.legacy, backends.native):
            backend.database.command("collMod", "users", validator=refusing)
        person: JSON = {"username": "refused", "email": "r@x", "password": "p", "role": "patient"}
        answers = await backends.send(post("/users/register", person))
    finally:
        for backend in (backends.legacy, backends.native):
            backend.database.command("collMod", "users", validator={})
    assert answers.native.status == 500
    assert read(answers.native) == {"msg": "Document failed validation"}
    answers.assert_declared("register-refused")
