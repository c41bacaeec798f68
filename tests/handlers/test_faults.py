"""What may go wrong around the native app, and does here for real: no database, a failing model, bodies of any kind.

Where the stand-in has an answer, the native one is the same; where it has none, contracts/divergences.yaml says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs

import bcrypt
import pytest
import pytest_asyncio
from bson import ObjectId
from starlette.types import Receive, Scope, Send

from demo.mongod import Mongod
from handlers.container import ServiceTimings
from proxy.comparison.answers import DecodedAnswer
from proxy.contract.divergences import explain
from proxy.recordings.comparing import compare_frames
from proxy.recordings.model import RecordedRequest
from proxy.recordings.websocket_player import PlaybackPace, converse
from proxy.types import JSON
from tests.differential.people import AMARA, CONSULTATIONS, HASH, NOTES, PASSWORD, PROMPTS, TRANSCRIPTS, identity
from tests.differential.people import TOKEN as FOREVER
from tests.support.backend_pair import DECLARED, Seen, Twin, Twins, get, names, native_twin, post, read
from tests.support.line import Line, command
from tests.support.outside_services import Answer as Told
from tests.support.outside_services import Choice, Script

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONSULTATION, TRANSCRIPT, NOTE, PROMPT = (identity(kind, 0) for kind in (CONSULTATIONS, TRANSCRIPTS, NOTES, PROMPTS))
MINE = {"clinician": ObjectId(AMARA), "created_at": datetime(2026, 1, 2)}
DOCUMENTS = {
    "users": [{"_id": ObjectId(AMARA), "username": "a", "email": "amara@x", "password": HASH, "role": "clinician"}],
    "consultations": [
        {**MINE, "_id": ObjectId(CONSULTATION), "transcript": ObjectId(TRANSCRIPT), "notes": [], "__v": 0}
    ],
    "transcripts": [
        {**MINE, "_id": ObjectId(TRANSCRIPT), "consultation": ObjectId(CONSULTATION), "transcript_text": "T", "__v": 0}
    ],
    "notes": [
        {
            **MINE,
            "_id": ObjectId(NOTE),
            "consultation": ObjectId(CONSULTATION),
            "transcript": ObjectId(TRANSCRIPT),
            "body": "N",
        }
    ],
    "prompts": [
        {**MINE, "_id": ObjectId(PROMPT), "prompt_name": "P", "prompt_text": "Sum up.", "is_deleted": False, "__v": 0}
    ],
}


def assert_alike(seen: Seen) -> None:
    """Equal, or declared; and nothing in it of how either is made."""
    explained = explain(DECLARED, seen.occurrence, seen.differences)
    assert explained.unexplained == (), (seen.request, seen.legacy, seen.native)
    for trace in (b"Traceback", b".py", b'File "', b"handlers"):
        assert trace not in seen.native.body


# No database


WRITES: dict[tuple[str, str], dict[str, JSON]] = {
    ("POST", "/users/login"): {"email": "amara@x", "password": PASSWORD},
    ("POST", "/api/consultation/start"): {"patient_data": "p"},
    ("POST", f"/api/consultation/{CONSULTATION}/end"): {"prompt_used": PROMPT},
    ("POST", "/api/transcript/update-text"): {"transcript_id": TRANSCRIPT, "transcript_text": "text"},
    ("POST", f"/api/notes/{CONSULTATION}"): {"body": "b", "transcriptId": TRANSCRIPT},
    ("PATCH", f"/api/notes/{NOTE}"): {"body": "b"},
    ("POST", "/api/prompts"): {"prompt_name": "n", "prompt_text": "t", "is_shareable": True},
    ("PATCH", f"/api/prompts/{PROMPT}"): {"prompt_name": "n", "prompt_text": "t", "is_shareable": True},
    ("PATCH", f"/api/prompts/{PROMPT}/add-prompt/{TRANSCRIPT}"): {},
    ("POST", f"/api/ai/{CONSULTATION}/summarise"): {"usedPrompt": "u"},
    ("POST", "/api/ai/analyze"): {"prompt": "p", "images": ["https://x"]},
}
READS = [
    "/users/users/checkEmail?email=a@b",
    "/users/profile",
    "/api/consultation",
    f"/api/consultation/{CONSULTATION}",
    f"/api/transcript/{CONSULTATION}",
    f"/api/notes/{CONSULTATION}",
    "/api/prompts",
    "/api/ai/search/clinicalcodes?name=x",
]


def everything() -> list[RecordedRequest]:
    """A sound request to every endpoint that has to do with the database, so that nothing prevents the next."""
    asked = [post("/users/register", {"username": "b", "email": "b@x", "password": "p", "role": "patient"})]
    asked += [get(path, FOREVER, method) for path in READS for method in ("GET", "HEAD")]
    asked += [post("/api/ai/search?query=q", token=FOREVER)]
    asked += [post(path, body, FOREVER, method) for (method, path), body in WRITES.items()]
    asked += [get(path, FOREVER, "DELETE") for path in (f"/api/notes/{NOTE}", f"/api/prompts/{PROMPT}")]
    return [*asked, post("/users/logout", token=FOREVER)]


async def timed(native: Twin, request: RecordedRequest) -> tuple[DecodedAnswer, float]:
    began = time.monotonic()
    return await native.ask(request), time.monotonic() - began


LATE = 6.0
"""Seconds: 3 are promised, which a machine that is busy with other tests may exceed; without a limit it is 30."""


async def assert_away(native: Twin) -> None:
    """Everything says so in time and in the legacy's manner; what needs no database is as ever."""
    asked = everything()
    found = await asyncio.gather(*(timed(native, request) for request in asked))
    for request, (answer, seconds) in zip(asked, found, strict=True):
        assert (answer.status, seconds < LATE) == (503, True), (request, answer, seconds)
        assert answer.headers["x-powered-by"] == "Express"
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        if request.method != "HEAD":
            assert read(answer)["error"] == "database_unavailable"
    welcome, refused, missing = await asyncio.gather(
        native.ask(get("/")), native.ask(get("/api/prompts")), native.ask(get("/nowhere"))
    )
    assert (welcome.status, refused.status, missing.status) == (200, 401, 404)


async def assert_back(native: Twin) -> None:
    """It can be read and written again, soon, and nothing is held any more by what was broken off."""
    deadline = time.monotonic() + 40  # a busy machine's; the server itself would hold a transaction for 60
    while (await native.ask(get("/users/profile", FOREVER))).status == 503:  # the driver looks twice a second
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    native.database.blacktokens.delete_many({})
    for name, documents in DOCUMENTS.items():
        native.database[name].delete_many({})
        native.database[name].insert_many([dict(document) for document in documents])
    for request in everything():
        while (answer := await native.ask(request)).status == 503 and time.monotonic() < deadline:
            await asyncio.sleep(0.05)  # the first write may come before the primary is known
        assert answer.status in (200, 201), (request, answer)


@contextlib.contextmanager
def paused(mongod: Mongod) -> Iterator[None]:
    """A MongoDB that takes connections and says nothing."""
    pid = mongod.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_database_that_comes_goes_and_falls_silent(tmp_path: Path) -> None:
    mongod = Mongod(tmp_path / "data")
    try:
        async with native_twin(mongod.url) as native:
            await assert_away(native)
            await asyncio.to_thread(mongod.start)
            await assert_back(native)
            await asyncio.to_thread(mongod.stop)
            await assert_away(native)
            await asyncio.to_thread(mongod.start)
            await assert_back(native)
            with paused(mongod):
                await assert_away(native)
            await assert_back(native)
    finally:
        await asyncio.to_thread(mongod.stop)


async def test_writes_sent_to_a_silent_database_are_aborted_later(mongodb_url: str) -> None:
    """A note is stored, its link on the way: the transaction must not hold the consultation until it expires."""
    line = Line(mongodb_url)
    await line.mend()
    async with native_twin(mongodb_url, through=line.url, timings=ServiceTimings(database_timeout=0.5)) as native:
        Twins(native, native).plant(DOCUMENTS)
        request = post(f"/api/notes/{CONSULTATION}", {"body": "b", "transcriptId": TRANSCRIPT}, FOREVER)
        line.stall_at = command("update", "consultations")
        assert (await native.ask(request)).status == 503
        await asyncio.sleep(0.2)
        line.flow()
        deadline = time.monotonic() + 15
        while (again := await native.ask(request)).status != 201:
            assert (again.status, time.monotonic() < deadline) == (503, True)
        [consultation] = native.database.consultations.find()
        written = {note["_id"] for note in native.database.notes.find({"body": "b"})}
        assert written == set(consultation["notes"]) == {ObjectId(read(again)["note"]["_id"])}
        await line.cut()


async def test_the_first_request_need_not_wait_for_the_indexes(mongodb_url: str) -> None:
    async with native_twin(mongodb_url) as native:
        started = await asyncio.gather(
            *(native.ask(post("/api/consultation/start", {"patient_data": n}, FOREVER)) for n in range(5))
        )
        assert [answer.status for answer in started] == [200] * 5


async def test_many_notes_at_once_are_all_kept_and_linked(twins: Twins) -> None:
    twins.plant(DOCUMENTS)
    request = post(f"/api/notes/{CONSULTATION}", {"body": "b", "transcriptId": TRANSCRIPT}, FOREVER)
    for twin in (twins.legacy, twins.native):
        answers = await asyncio.gather(*(twin.ask(request) for _ in range(16)))
        assert {answer.status for answer in answers} == {201}
        [consultation] = twin.database.consultations.find()
        made = {read(answer)["note"]["_id"] for answer in answers}
        assert {str(note) for note in consultation["notes"]} == made
        assert consultation["__v"] == len(consultation["notes"]) == 16


# A model and a terminology server that fail


def completion(content: bytes) -> Told:
    return Told(body=b'{"choices": [{"message": {"content": %b}}]}' % content)


FAULTS = {
    **{f"<{code}>": Told(code, b'{"error": {"message": "m", "type": "t"}}') for code in (400, 401, 404, 418, 429, 500)},
    "<plain>": Told(500, b"oops", "text/plain"),
    "<page>": Told(502, b"<html>", "text/html"),
    "<bare>": Told(400, b""),
    "<null refusal>": Told(400, b"null"),
    "<listed refusal>": Told(422, b"[]"),
    "<worded refusal>": Told(403, b'{"error": "text"}'),
    "<odd refusal>": Told(409, b'{"error": {"message": {"a": 1}}}'),
    "<foreign refusal>": Told(400, b"\xff\xfe", "application/json; charset=utf-16"),
    "<page 200>": Told(200, b"<html>", "text/html"),
    "<half>": Told(200, b"{"),
    "<nothing>": Told(200, b""),
    "<no content>": Told(204, b""),
    "<null>": Told(200, b"null"),
    "<list>": Told(200, b"[]"),
    "<no choices>": Told(200, b'{"choices": []}'),
    "<no message>": Told(200, b'{"choices": [{}]}'),
    "<null message>": Told(200, b'{"choices": [{"message": null}]}'),
    "<silence>": completion(b"null"),
    "<number>": completion(b"5"),
    "<object>": completion(b'{"a": [1]}'),
    "<blank>": completion(b'" \\n"'),
    "<no utf8>": completion(b'"\xff"'),
    "<foreign>": Told(200, completion(b'"ok"').body, "application/json; charset=utf-16"),
    "<untyped>": Told(200, completion(b'"ok"').body, "application/octet-stream"),
    "<zipped>": Told(200, b"x", headers=((b"content-encoding", b"gzip"),)),
}


async def test_a_failing_model_fails_every_door_in_the_same_words(twins: Twins) -> None:
    asked = [
        request
        for word in FAULTS
        for request in (
            post(f"/api/ai/search?query={word.replace(' ', '%20')}", token=FOREVER),
            post("/api/ai/analyze", {"prompt": word}, FOREVER),
        )
    ]
    answers = {word: [answer] for word, answer in FAULTS.items()}
    with twins.legacy.outside.giving(Choice(answers)), twins.native.outside.giving(Choice(answers)):
        for seen in await asyncio.gather(*map(twins.ask, asked)):
            assert_alike(seen)


async def test_a_consultation_ends_whatever_the_model_says(twins: Twins) -> None:
    """First of the summary, then of the highlights, which are asked for with the transcript once more."""
    twins.plant(DOCUMENTS)
    waiting = {"<429>", "<500>", "<plain>", "<page>", "<odd refusal>"}  # what is asked for again, with pauses
    for word in FAULTS.keys() - waiting:
        for answers in ([FAULTS[word]], [completion(b'"S"'), FAULTS[word]]):
            with twins.legacy.outside.giving(Script(answers)), twins.native.outside.giving(Script(answers)):
                seen = await twins.ask(post(f"/api/consultation/{CONSULTATION}/end", {"prompt_used": PROMPT}, FOREVER))
            assert_alike(seen)
            assert twins.stored("transcripts")[1] == twins.stored("consultations")[1] == []


class Codes:
    """A terminology server that answers by the name it is asked for."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = Told(body=b'{"access_token": "t", "expires_in": 300}')
        if scope["method"] == "GET":
            answer = VALUE_SETS[parse_qs(scope["query_string"].decode())["filter"][0]]
        await Script([answer])(scope, receive, send)


def value_set(contains: bytes) -> Told:
    return Told(body=b'{"expansion": {"contains": %b}}' % contains)


VALUE_SETS = {
    "odd": value_set(b'[{"display": 5, "code": null, "system": {"a": [1]}}, 7]'),
    "unsaid": value_set(b'[{"designation": []}, null]'),
    "texts": value_set(b'["x"]'),
    "null": value_set(b"[null]"),
    "object": value_set(b"{}"),
    "text": value_set(b'"abc"'),
    "nothing": Told(body=b"{}"),
    "page": Told(body=b"<html>", content_type="text/html"),
    "untyped": Told(body=value_set(b'[{"display": "\xff"}]').body, content_type="text/plain; charset=utf-16"),
    "marked": Told(body=b"\xef\xbb\xbf" + value_set(b'[{"display": "b"}]').body),
    "refused": Told(404, b""),
    "moved": Told(302, b"", headers=((b"location", b"/production1/fhir/ValueSet/$expand?filter=odd"),)),
    "zipped": Told(200, b"x", headers=((b"content-encoding", b"gzip"),)),
    "away": Told(503, b""),
    "cut": Told(cut=True),
}


async def test_a_failing_terminology_server_is_told(twins: Twins) -> None:
    with twins.legacy.outside.giving(Codes()), twins.native.outside.giving(Codes()):
        asked = (get(f"/api/ai/search/clinicalcodes?name={name}", FOREVER) for name in VALUE_SETS)
        for seen in await asyncio.gather(*(twins.ask(request, 1) for request in asked)):
            assert_alike(seen)


HEARD = {
    "undecodable": Told(400, b'{"error": {"message": "audio could not be decoded"}}'),
    "refused": Told(400, b'{"error": {"message": "quota"}}'),
    "page": Told(200, b"<html>", "text/html"),
    "json": Told(200, b'"said"'),
    "object": Told(200, b'{"text": "x"}'),
    "half": Told(200, b"{"),
    "nothing": Told(200, b" \n", "text/plain"),
    "no content": Told(204, b""),
    "foreign": Told(200, b"h\xc3\xa9\xff", "text/plain; charset=utf-16"),
}


@pytest.mark.parametrize("name", HEARD)
async def test_a_failing_transcription_is_told_in_the_same_frames(twins: Twins, name: str) -> None:
    chunks: list[JSON] = [{"type": "audio_chunk", "audioData": "QUFB"}] * 9
    sent: list[JSON] = [{"type": "start_recording", "consultationId": "C"}, *chunks, {"type": "stop_recording"}]
    heard = []
    for twin in (twins.legacy, twins.native):
        with twin.outside.giving(Script([HEARD[name]])):
            heard.append(await converse(twin.origin, "/transcription-stream", sent, 5, PlaybackPace(0.01, 0.5, 0.1)))
    assert compare_frames(heard[0], heard[1], names()) == []


# Bodies of any kind


VALUES: list[JSON] = [
    None,
    True,
    0,
    -1.5,
    "",
    "text",
    "nul\0",
    "\ud800",
    [],
    [[AMARA]],
    {},
    {"$gt": ""},
    {"toString": 1},
]


def bodies(sound: dict[str, JSON]) -> Iterator[JSON]:
    """Each field of each kind, or missing; and other things than an object."""
    for name in sound:
        yield {other: value for other, value in sound.items() if other != name}
        for value in VALUES:
            yield {**sound, name: value}
    yield from VALUES


@pytest.mark.parametrize(("method", "path"), WRITES, ids=lambda part: part.replace("0" * 18, ""))
async def test_a_body_of_any_kind_is_taken_as_the_legacy_takes_it(keeping: Twins, method: str, path: str) -> None:
    """With the switches that keep the legacy's way, so that what is compared is not what was declared."""
    keeping.plant(DOCUMENTS)
    asked = [post(path, body, FOREVER, method) for body in bodies(WRITES[method, path])]
    if path == "/users/login":  # hangs, which are not to be waited for one by one
        found = await asyncio.gather(*(keeping.ask(request, 1.5) for request in asked))
    else:
        found = [await keeping.ask(request) for request in asked]
    for seen in found:
        assert_alike(seen)


async def test_a_registration_of_any_kind_is_answered(twins: Twins) -> None:
    """By the native side alone: the stand-in would die of most."""
    sound: dict[str, JSON] = {"username": "b", "email": "b@x", "password": "p", "role": "patient"}
    for body in bodies(sound):
        answer = await twins.native.ask(post("/users/register", body))
        page = not isinstance(body, dict | list)
        assert answer.status == 400 if page else answer.status in (200, 400, 401), (body, answer)
        assert answer.headers["content-type"].startswith("text/html" if page else "application/json")


# Many at once


@pytest_asyncio.fixture(loop_scope="session")
async def busy(mongodb_url: str) -> AsyncIterator[Twin]:
    async with native_twin(mongodb_url) as native:
        user = {**DOCUMENTS["users"][0], "password": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}
        native.database.users.insert_one(user)
        yield native


async def greet(native: Twin, until: asyncio.Event) -> list[float]:
    """How long `GET /` takes, again and again on one connection."""
    reader, writer = await asyncio.open_connection(native.origin.host, native.origin.port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waits = []
    while not until.is_set():
        began = time.perf_counter()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(b'{"msg":"welcome to the server"}'))
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)
    writer.close()
    return waits


async def test_two_hundred_logins_do_not_keep_others_waiting(busy: Twin) -> None:
    over = asyncio.Event()
    greeting = asyncio.create_task(greet(busy, over))
    logins = [post("/users/login", {"email": email, "password": PASSWORD}) for email in ("amara@x", "nobody@x")] * 100
    answers = await asyncio.gather(*map(busy.ask, logins))
    hashing = [thread for thread in threading.enumerate() if thread.name.startswith("bcrypt")]
    over.set()
    waits = await greeting
    assert Counter("token" in read(answer) for answer in answers) == {True: 100, False: 100}
    assert 1 <= len(hashing) <= 3 * (os.cpu_count() or 1), "a pool for each native app that is open here"
    assert len(waits) > 20
    assert statistics.median(waits) < 0.05
