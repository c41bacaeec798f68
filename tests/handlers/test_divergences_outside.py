"""The declared divergences with outside services: the terminology server, the model, an unavailable database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import brotli  # type: ignore[import-untyped]
import pytest
import pytest_asyncio
from bson import ObjectId
from starlette.types import Receive, Scope, Send

from handlers.container import ServiceTimings
from proxy.contract.divergences import Occurrence
from proxy.recordings.comparing import compare_recorded_values
from proxy.recordings.model import RecordedRequest
from proxy.recordings.raw_http import serialise
from proxy.types import JSON
from tests.differential.people import AMARA, CONSULTATIONS, HASH, NOTES, PROMPTS, TRANSCRIPTS, identity
from tests.differential.people import TOKEN as FOREVER
from tests.support.backend_pair import (
    HANG,
    AnswerPair,
    BackendPair,
    RunningBackend,
    assert_traced,
    get,
    legacy_backend,
    names,
    native_backend,
    post,
    read,
    shows,
)
from tests.support.mongodb_relay import Condition, Relay, command
from tests.support.outside_services import Answer, Choice, Script
from tests.support.sockets import reset
from tests.support.waiting import HANG_TIMEOUT, PROMPT_TIMEOUT, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONSULTATION, TRANSCRIPT, PROMPT = (identity(kind, 0) for kind in (CONSULTATIONS, TRANSCRIPTS, PROMPTS))
BEGUN = {
    "users": [{"_id": ObjectId(AMARA), "username": "a", "email": "amara@x", "password": HASH, "role": "clinician"}],
    "consultations": [
        {
            "_id": ObjectId(CONSULTATION),
            "clinician": ObjectId(AMARA),
            "transcript": ObjectId(TRANSCRIPT),
            "notes": [],
            "status": "active",
            "started_at": datetime(2026, 1, 2),
            "__v": 0,
        }
    ],
    "transcripts": [
        {
            "_id": ObjectId(TRANSCRIPT),
            "clinician": ObjectId(AMARA),
            "consultation": ObjectId(CONSULTATION),
            "transcript_text": "Chest pain.",
            "created_at": datetime(2026, 1, 2),
            "__v": 0,
        }
    ],
    "prompts": [{"_id": ObjectId(PROMPT), "clinician": ObjectId(AMARA), "prompt_name": "P", "prompt_text": "Sum up."}],
}
END = post(f"/api/consultation/{CONSULTATION}/end", {"prompt_used": PROMPT}, FOREVER)


class Terminology:
    """A terminology server that issues a token and gives set answers in turn, the last one repeatedly."""

    def __init__(self, *answers: Answer, token: bytes = b'{"access_token": "t", "expires_in": 300}') -> None:
        self._token = Script([Answer(body=token)])
        self._codes = Script(answers)

    @property
    def request_counts(self) -> tuple[int, int]:
        """Return the number of requests for a token, and for codes."""
        return len(self._token.bodies), len(self._codes.bodies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._token if scope["method"] == "POST" else self._codes)(scope, receive, send)


ONE_CODE = Answer(body=b'{"expansion": {"contains": [{"display": "d", "code": "c", "system": "s"}]}}')
SAID = Answer(body=b'{"choices": [{"message": {"content": "said"}}]}')


def codes(name: str) -> RecordedRequest:
    return get(f"/api/ai/search/clinicalcodes?name={name}", FOREVER)


def search(query: str = "q") -> RecordedRequest:
    return post(f"/api/ai/search?query={query}", token=FOREVER)


def analyze(prompt: str = "what") -> RecordedRequest:
    return post("/api/ai/analyze", {"prompt": prompt}, FOREVER)


@shows("codes-none")
async def test_divergence_of_a_name_without_codes(backends: BackendPair, keeping: BackendPair) -> None:
    answers = await backends.send(codes("zzz"), HANG)
    assert answers.legacy.outcome == "hang"
    assert (answers.native.status, read(answers.native)) == (404, {"msg": "No clinical codes found"})
    answers.assert_declared("codes-none")
    listed = await keeping.native.send(codes("zzz"))
    assert (listed.status, read(listed)) == (200, [])
    AnswerPair(answers.request, answers.legacy, listed).assert_declared("codes-none")
    assert [code["code"] for code in read(await keeping.native.send(codes("x")))] == [
        "44054006",
        "73211009",
        "46635009",
    ]
    (await backends.send(codes("x"))).assert_equal()


@shows("codes-server-fails")
async def test_terminology_server_that_fails(backends: BackendPair, mongodb_url: str) -> None:
    answers = await backends.send(codes("boom"), HANG)
    assert answers.legacy.outcome == "hang"
    reason = "the terminology server answered 500"
    assert (answers.native.status, read(answers.native)["error"]) == (500, reason)
    answers.assert_declared("codes-server-fails")
    async with native_backend(mongodb_url) as fresh:
        pair = BackendPair(backends.legacy, fresh)
        for token in (b"{}", b"<html>", b"[", b""):
            with (
                backends.legacy.outside.giving(Terminology(ONE_CODE, token=token)),
                fresh.outside.giving(Terminology(ONE_CODE, token=token)),
            ):
                tokenless = await pair.send(codes("x"))
            assert read(tokenless.legacy)["code"] == "c"
            tokenless.assert_declared("codes-server-fails")


@shows("codes-deadline")
async def test_divergence_of_a_slow_terminology_server(hurried: BackendPair) -> None:
    gate = asyncio.Event()
    slow = Terminology(Answer(body=ONE_CODE.body, gate=gate))
    with hurried.legacy.outside.giving(slow), hurried.native.outside.giving(slow):
        legacy = asyncio.create_task(hurried.legacy.send(codes("x")))
        native = await hurried.native.send(codes("x"))
        gate.set()
        answers = AnswerPair(codes("x"), await legacy, native)
    assert read(answers.legacy)["code"] == "c"
    assert read(answers.native)["error"] == "the terminology server did not answer in time"
    answers.assert_declared("codes-deadline")


@shows("codes-second-try")
@pytest.mark.parametrize("fault", [Answer(cut=True), Answer(401, b"")], ids=["cut", "refused"])
async def test_divergence_of_one_terminology_failure(backends: BackendPair, fault: Answer) -> None:
    legacy, native = Terminology(fault, ONE_CODE), Terminology(fault, ONE_CODE)
    with backends.legacy.outside.giving(legacy), backends.native.outside.giving(native):
        answers = await backends.send(codes("x"), HANG)
        await until(lambda: legacy.request_counts == (1, 1))
    assert answers.legacy.outcome == "hang"
    assert (read(answers.native)["code"], native.request_counts[1]) == ("c", 2)
    answers.assert_declared("codes-second-try")


@shows("codes-token-kept")
async def test_divergence_of_a_reused_access_token(backends: BackendPair, mongodb_url: str) -> None:
    async with native_backend(mongodb_url) as fresh:
        pair = BackendPair(backends.legacy, fresh)
        pair.forget_calls()
        for name in ("a", "b"):
            (await pair.send(codes(name))).assert_equal()
        methods = [[str(call)[12:16] for call in backend.outside.calls] for backend in (backends.legacy, fresh)]
        assert methods == [["POST", "GET'"] * 2, ["POST", "GET'", "GET'"]]
        assert_traced(pair.called("ai-codes"), "codes-token-kept")


@shows("summarise-works")
async def test_summary(backends: BackendPair) -> None:
    backends.plant(BEGUN)
    backends.forget_calls()
    tries: list[tuple[JSON, int]] = [({}, 200), ({"usedPrompt": "FAIL-AI"}, 500)]
    for used, status in tries:
        answers = await backends.send(post(f"/api/ai/{CONSULTATION}/summarise", used, FOREVER))
        assert (answers.legacy.status, answers.native.status) == (404, status)
        answers.assert_declared("summarise-works")
    assert_traced(backends.called("ai-summarise"), "summarise-works")
    assert backends.stored("transcripts")[1] == []


OVERLOADED, BROKEN = Answer(503, b'{"error": {"message": "busy"}}'), Answer(cut=True)


@shows("model-retries")
async def test_model_that_fails_in_passing(backends: BackendPair) -> None:
    kinds = {"twice": [OVERLOADED, OVERLOADED, SAID], "broken": [BROKEN, SAID], "always": [BROKEN]}
    answers = {"lasts": [OVERLOADED], **{word + end: kind for word, kind in kinds.items() for end in ("-s", "-a")}}
    legacy, native = Choice(answers), Choice(answers)
    with backends.legacy.outside.giving(legacy), backends.native.outside.giving(native):
        lasts = await backends.send(search("lasts"))
        requests = [request for word in kinds for request in (search(f"{word}-s"), analyze(f"{word}-a"))]
        results = await asyncio.gather(*map(backends.send, requests))
    lasts.assert_equal()
    assert (legacy.times("lasts"), native.times("lasts")) == (3, 2)
    calls: list[list[JSON]] = [[{"method": "POST"}] * choice.times("lasts") for choice in (legacy, native)]
    differences = compare_recorded_values(calls[0], calls[1], names(), "calls")
    assert_traced((Occurrence("CALLS", "some-model-faults-in-passing"), differences), "model-retries")
    assert [both.legacy.status for both in results] == [200, 200, 500, 500, 500, 500]
    assert [both.native.status for both in results] == [500, 500, 200, 200, 500, 500]
    for both in results:
        both.assert_declared("model-retries")


@shows("outside-answer-syntax")
async def test_answers_of_odd_syntax(backends: BackendPair) -> None:
    long_head = Script([Answer(body=SAID.body, headers=((b"x-long", b"x" * 20_000),))])
    with backends.legacy.outside.giving(long_head), backends.native.outside.giving(long_head):
        results = [await backends.send(request) for request in (search(), analyze())]
    assert [(both.legacy.status, both.native.status) for both in results] == [(500, 200)] * 2
    ended = brotli.compress(ONE_CODE.body) + b"further bytes"
    further = Terminology(Answer(body=ended, headers=((b"content-encoding", b"br"),)))
    with backends.legacy.outside.giving(further), backends.native.outside.giving(further):
        results.append(await backends.send(codes("x")))
    assert (results[2].legacy.status, results[2].native.status) == (200, 500)
    for answers in results:
        answers.assert_declared("outside-answer-syntax")


@shows("model-deadline")
async def test_divergence_of_a_model_that_never_answers(hurried: BackendPair) -> None:
    hurried.plant(BEGUN)
    never = Script([Answer(hang=True)])
    with hurried.legacy.outside.giving(never), hurried.native.outside.giving(never):
        results = await asyncio.gather(*(hurried.send(request, 1.2) for request in (search(), analyze(), END)))
    for answers in results:
        assert answers.legacy.outcome == "hang"
        answers.assert_declared("model-deadline")
    assert [b"Request timed out." in answers.native.body for answers in results] == [True, True, False]
    assert read(results[2].native)["summary"] == "Summary not generated"


async def leave(backend: RunningBackend, request: RecordedRequest, script: Script) -> None:
    """Send a request, and disconnect as soon as the model has been called."""
    await backend.until_ready()
    _, writer = await asyncio.open_connection(backend.origin.host, backend.origin.port)
    writer.write(serialise(backend.origin, request))
    while not script.bodies:
        await asyncio.sleep(0.01)
    reset(writer)


@shows("model-client-gone")
async def test_divergence_of_a_client_disconnect(backends: BackendPair) -> None:
    backends.plant(BEGUN)
    for backend in (backends.legacy, backends.native):
        never = Script([Answer(hang=True)])
        with backend.outside.giving(never):
            await leave(backend, search(), never)
            if backend is backends.native:
                await asyncio.wait_for(never.left.wait(), HANG_TIMEOUT)
            else:
                await asyncio.sleep(0.3)
                assert not never.left.is_set()
        gate = asyncio.Event()
        slow = Script([Answer(body=SAID.body, gate=gate)])
        with backend.outside.giving(slow):
            await leave(backend, END, slow)
            await asyncio.sleep(0.2)  # in which a backend that stops without its client stops
            gate.set()
            while not backend.database.consultations.find_one({"status": "ended"}):
                await asyncio.sleep(0.02)
    assert backends.stored("consultations")[1] == backends.stored("transcripts")[1] == []
    made: list[JSON] = [{"method": "POST"}]
    gone = Occurrence("CALLS", "search-client-gone")
    assert_traced((gone, compare_recorded_values([*made, *made], [*made], names(), "calls")), "model-client-gone")


RUBBISH = [Answer(body=b"{"), Answer(body=b"<html>", content_type="text/html"), Answer(body=b"null"), Answer(204, b"")]


@shows("analyze-stack")
@pytest.mark.parametrize("rubbish", RUBBISH, ids=lambda answer: f"{answer.status} {answer.body!r}")
async def test_stack_of_a_failure(backends: BackendPair, rubbish: Answer) -> None:
    script = Script([rubbish])
    with backends.legacy.outside.giving(script), backends.native.outside.giving(script):
        answers = await backends.send(analyze())
    stacks = [read(answer)["error"]["stackExcerpt"] for answer in (answers.legacy, answers.native)]
    assert stacks[0].split("\n")[0] == stacks[1]
    assert stacks[0].count("\n    at ") == 2
    answers.assert_declared("analyze-stack")


class RelayedPair:
    """Both backends, each with its own relay to the database."""

    def __init__(self, pair: BackendPair, relays: tuple[Relay, Relay]) -> None:
        self.pair = pair
        self._relays = relays

    def cut(self) -> None:
        for relay in self._relays:
            relay.cut()

    async def mend(self) -> None:
        """Restore the connections, and wait until both backends use them."""
        for relay in self._relays:
            relay.mend()
        probe = get("/users/users/checkEmail?email=x")
        while {(answers := await self.pair.send(probe)).legacy.status, answers.native.status} != {200}:
            await asyncio.sleep(0.05)

    def cut_at(self, condition: Condition) -> None:
        for relay in self._relays:
            relay.cut_at(condition)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def relayed(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RelayedPair]:
    """Start both backends with short timeouts of the database; the legacy's default is 30 s."""
    log = tmp_path_factory.mktemp("relayed") / "log"
    timings = ServiceTimings(database_timeout=2)
    with Relay(mongodb_url) as legacy_relay, Relay(mongodb_url) as native_relay:
        legacy_relay.mend()
        native_relay.mend()
        impatient = f"{legacy_relay.url}&serverSelectionTimeoutMS=2000"
        async with (
            legacy_backend(mongodb_url, log, through=impatient) as legacy,
            native_backend(mongodb_url, through=native_relay.url, timings=timings) as native,
        ):
            yield RelayedPair(BackendPair(legacy, native), (legacy_relay, native_relay))


BROKEN_OFF = {
    "start": (post("/api/consultation/start", {"patient_data": "p"}, FOREVER), command("insert", "transcripts")),
    "note": (
        post(f"/api/notes/{CONSULTATION}", {"body": "n", "transcriptId": TRANSCRIPT}, FOREVER),
        command("update", "consultations"),
    ),
    "end": (END, command("update", "consultations")),
}


@shows("written-together")
@pytest.mark.parametrize("name", BROKEN_OFF)
async def test_divergence_of_a_database_lost_between_two_writes(relayed: RelayedPair, name: str) -> None:
    pair, (request, second) = relayed.pair, BROKEN_OFF[name]
    pair.plant(BEGUN)
    before = {kind: pair.native.documents(kind) for kind in (*BEGUN, "notes")}
    relayed.cut_at(second)
    try:
        answers = await pair.send(request)
    finally:
        await relayed.mend()
    assert (answers.legacy.status, answers.native.status) == (500, 503)
    assert {kind: pair.native.documents(kind) for kind in before} == before
    left = {"start": "consultations", "note": "notes", "end": "transcripts"}[name]
    assert_traced(pair.stored(left, f"{name}-broken-off"), "written-together")
    assert [kind for kind in before if pair.stored(kind)[1]] == [left]
    async with asyncio.timeout(PROMPT_TIMEOUT):  # what was broken off must not hold its documents until it expires
        while (again := await pair.native.send(request)).status == 503:
            await asyncio.sleep(0.05)
    assert again.status in (200, 201)


REQUESTS = [
    post("/users/register", {"username": "a", "email": "a@b", "password": "p", "role": "clinician"}),
    post("/users/login", {"email": "a@b", "password": "p"}),
    get("/users/users/checkEmail?email=a@b"),
    post("/users/logout", token=FOREVER),
    get("/users/profile", FOREVER),
    get("/users/profile", FOREVER, "HEAD"),
    get("/api/prompts", FOREVER),
    get(f"/api/consultation/{CONSULTATION}", FOREVER, "HEAD"),
    END,
    search(),
    post(f"/api/prompts/{PROMPT}/add-prompt/{TRANSCRIPT}", {}, FOREVER, "PATCH"),
    get(f"/api/notes/{identity(NOTES, 0)}", FOREVER, "DELETE"),
]


@shows("database-away")
async def test_divergence_of_an_unreachable_database(relayed: RelayedPair) -> None:
    (await relayed.pair.send(get("/users/users/checkEmail?email=x"))).assert_equal()
    relayed.cut()
    results = await asyncio.gather(*(relayed.pair.send(request) for request in REQUESTS))
    for answers in results:
        assert answers.native.status == 503
        answers.assert_declared("database-away")
        assert answers.verdict.name == "declared", answers.verdict.violations
    assert {answers.legacy.status for answers in results} == {200, 401, 500}
    await relayed.mend()
    (await relayed.pair.send(get("/users/profile", FOREVER))).assert_equal()
