"""Every declared divergence on both backends: the demo legacy does what `legacy:` says, native what `native:` says.

Accounts, tokens and prompts are here, odd objects in test_divergences_objects.py, outside services and a failing
database in test_divergences_outside.py, and frames in test_divergences_stream.py. Each entry's `when` must recognise
the difference, and must not hide a failure.
"""

from __future__ import annotations

import asyncio
import gzip
import importlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from http.client import HTTPConnection
from typing import Any

import brotli  # type: ignore[import-untyped]
import pytest
from bson import ObjectId

from handlers.container import ServiceTimings
from handlers.json_structure import MAX_SURROGATES, MAX_VALUES
from handlers.settings import Settings
from proxy.comparison.answers import DecodedAnswer
from proxy.recordings.model import RecordedRequest
from proxy.types import JSON
from tests.differential.people import AMARA, BOLA, CONSULTATIONS, HASH, NOTES, PASSWORD, PROMPTS, TRANSCRIPTS, identity
from tests.differential.people import TOKEN as FOREVER
from tests.support.backend_pair import (
    DECLARED,
    HANG,
    AnswerPair,
    BackendPair,
    RunningBackend,
    assert_traced,
    get,
    native_backend,
    post,
    read,
    shown,
    shows,
)
from tests.support.backends import token_of
from tests.support.profile import spread
from tests.support.waiting import HANG_TIMEOUT

pytestmark = pytest.mark.asyncio(loop_scope="session")

USER = {"_id": ObjectId(AMARA), "username": "amara", "email": "amara@x", "password": HASH, "role": "clinician"}
PROMPT = {
    "_id": ObjectId(identity(PROMPTS, 0)),
    "prompt_name": "SOAP",
    "prompt_text": "In four lines.",
    "is_shareable": False,
    "is_deleted": False,
    "clinician": ObjectId(AMARA),
    "transcript_ids": [],
    "created_at": datetime(2026, 1, 2),
    "__v": 0,
}
WRONG = post("/users/login", {"email": "amara@x", "password": "wrong"})


def with_users(backends: BackendPair) -> None:
    backends.plant({"users": [USER], "prompts": [PROMPT]})


async def indexed(*of: RunningBackend) -> None:
    """Wait until the indexes exist: unique addresses, and tokens."""
    for backend in of:
        while "email_1" not in backend.database.users.index_information():
            await asyncio.sleep(0.02)


async def test_declared_divergences_are_all_tested() -> None:
    for module in (
        "database_faults",
        "divergences_objects",
        "divergences_outside",
        "divergences_stream",
        "foreign_bson",
    ):
        importlib.import_module(f"tests.handlers.test_{module}")
    for module in ("tests.test_shadow_recordings", "tests.differential.test_failing_commands"):
        importlib.import_module(module)
    assert {entry.id for entry in DECLARED} == set(shown)


async def test_every_switch_named_is_a_setting_and_conversely() -> None:
    named = {name for entry in DECLARED for name in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", entry.native)}
    fields = {field.upper() for field in Settings.model_fields}
    assert named <= fields
    assert {field for field in fields if field.startswith("KEEP_LEGACY")} <= named


@shows("login-wrong-password")
async def test_wrong_password(backends: BackendPair) -> None:
    with_users(backends)
    answers = await backends.send(WRONG, HANG)
    assert answers.legacy.outcome == "hang"
    assert (answers.native.status, read(answers.native)) == (200, {"msg": "wrong credentials"})
    answers.assert_declared("login-wrong-password")


@shows("login-limits")
async def test_logins_beyond_a_limit(mongodb_url: str, backends: BackendPair) -> None:
    async with native_backend(mongodb_url, {"login_limit": "1/hour"}) as limited:
        both = BackendPair(backends.legacy, limited)
        both.plant({"users": [USER]})
        assert read(await limited.send(WRONG)) == {"msg": "wrong credentials"}
        answers = await both.send(post("/users/login", {"email": "amara@x", "password": PASSWORD}))
        assert (answers.legacy.status, answers.native.status) == (200, 429)
        answers.assert_declared("login-limits")


@shows("login-email-operator")
@pytest.mark.parametrize(
    "operator", [{"$gt": ""}, {"$ne": None, "$exists": True}, {"$in": ["amara@x"]}, {"$regex": "^a"}]
)
async def test_query_for_an_email(backends: BackendPair, keeping: BackendPair, operator: JSON) -> None:
    with_users(backends)
    with_users(keeping)
    login = post("/users/login", {"email": operator, "password": PASSWORD})
    register = post("/users/register", {"username": "b", "email": operator, "password": "p", "role": "patient"})
    for request in (login, register):
        answers = await backends.send(request)
        assert read(answers.native)["name"] == "CastError"
        answers.assert_declared("login-email-operator")
        switched = await keeping.send(request)
        assert switched.legacy.status == switched.native.status
        assert {**read(switched.legacy), "token": ""} == {**read(switched.native), "token": ""}
        assert ("token" in read(switched.native)) == (request is login)


@shows("database-clock")
@pytest.mark.parametrize("target", ["/users/login", "/users/register"])
async def test_query_that_mongodb_refuses(keeping: BackendPair, target: str) -> None:
    request = post(target, {"email": {"$elemMatch": 1, "toString": 1}, "password": "p"})
    legacy = await keeping.legacy.send(request)
    keeping.native.database.blacktokens.insert_one({})  # time passes in MongoDB with each write
    refused = AnswerPair(request, legacy, await keeping.native.send(request))
    refused.assert_declared("database-clock")
    assert list(read(refused.native)) == list(read(refused.legacy))
    assert read(refused.native)["errorResponse"]["errmsg"] == "$elemMatch needs an Object"


@shows("register-invalid")
@pytest.mark.parametrize("wrong", spread([{"role": "admin"}, {"username": " "}, {"email": None}], 0, 3), ids=str)
async def test_invalid_registration(backends: BackendPair, wrong: dict[str, JSON]) -> None:
    with_users(backends)
    waiting = asyncio.create_task(backends.legacy.send(WRONG))
    await asyncio.sleep(0.1)
    body = {"username": "b", "email": "b@x", "password": "p", "role": "patient", **wrong}
    answers = await backends.send(post("/users/register", body))
    assert (await waiting).outcome == "reset"
    assert read(answers.native)["msg"].startswith(f"users validation failed: {next(iter(wrong))}: ")
    answers.assert_declared("register-invalid")
    for backend in (backends.legacy, backends.native):
        assert [user["email"] for user in backend.database.users.find()] == ["amara@x"]


@shows("register-race")
async def test_divergence_address_registered_concurrently(backends: BackendPair) -> None:
    with_users(backends)
    await indexed(backends.legacy, backends.native)
    died, request = None, post("/")
    for number in itertools.count():  # the order is random: more addresses, until two collide
        email = f"b{number}@x"
        request = post("/users/register", {"username": "b", "email": email, "password": "p", "role": "patient"})
        by_legacy = await asyncio.gather(*(backends.legacy.send(request) for _ in range(6)))
        died = next((answer for answer in by_legacy if answer.outcome == "reset"), None)
        if died is not None:
            break
    assert died is not None
    by_native = await asyncio.gather(*(backends.native.send(request) for _ in range(6)))
    assert Counter(answer.status for answer in by_native) == {200: 1, 401: 5}
    AnswerPair(request, died, next(answer for answer in by_native if answer.status == 401)).assert_declared(
        "register-race"
    )
    assert backends.native.database.users.count_documents({"username": "b"}) == 1


@shows("logout-without-token")
async def test_logout_without_a_token(backends: BackendPair) -> None:
    answers = await backends.send(post("/users/logout"), HANG)
    assert answers.legacy.outcome == "hang"
    assert (answers.native.status, read(answers.native)) == (401, {"msg": "Please login, no token provided"})
    answers.assert_declared("logout-without-token")


DOORS = [
    *(f"{method} {path}" for method in ("GET", "HEAD") for path in ("/users/profile", "/api/prompts", "/api/ai")),
    "GET /api/consultation",
    "GET /api/ai/search/clinicalcodes?name=x",
    "GET /api/notes/x/",
    "GET /api/transcript/nothing",
    "GET /api/ai/nothing/at/all",
    "POST /api/prompts",
    "POST /api/consultation/start",
    f"POST /api/ai/{identity(CONSULTATIONS, 0)}/summarise",
    f"PATCH /api/prompts/{identity(PROMPTS, 0)}/add-prompt/{identity(TRANSCRIPTS, 0)}",
    f"DELETE /api/notes/{identity(NOTES, 0)}",
    "PUT /api/prompts",
]


@shows("logged-out-tokens")
async def test_token_that_was_logged_out(backends: BackendPair, keeping: BackendPair) -> None:
    with_users(backends)
    with_users(keeping)
    for backend in (backends.legacy, backends.native, keeping.native):
        assert read(await backend.send(post("/users/logout", token=FOREVER)))["msg"] == "user logged out successfully"
    for method, path in (door.split() for door in DOORS):
        request = get(path, FOREVER, method) if method in ("GET", "HEAD") else post(path, {}, FOREVER, method)
        answers = await backends.send(request)
        assert answers.legacy.status != 401
        if method != "HEAD":
            assert read(answers.native) == {"msg": "Session logged out. Please log in again."}
        answers.assert_declared("logged-out-tokens")
    (await keeping.send(get("/users/profile", FOREVER))).assert_equal()
    (await keeping.send(get("/api/prompts", FOREVER))).assert_equal()


async def test_query_for_a_revoked_token_uses_an_index(backends: BackendPair) -> None:
    while "blackToken_hashed" not in backends.native.database.blacktokens.index_information():
        await asyncio.sleep(0.02)
    wanted = {"find": "blacktokens", "filter": {"blackToken": {"$in": [FOREVER]}}}
    explained = backends.native.database.command("explain", wanted, verbosity="queryPlanner")
    assert "'indexName': 'blackToken_hashed'" in str(explained["queryPlanner"]["winningPlan"])


def listed(number: int, token: str) -> Mapping[str, Any]:
    """Return a logged-out token as either backend stores it, with a date in the past."""
    long_ago = ObjectId.from_datetime(datetime(2020, 1, 1)).binary[:4]
    return {"_id": ObjectId(long_ago + number.to_bytes(8, "big")), "blackToken": token}


@shows("logged-out-tokens-expire")
async def test_expired_tokens_are_removed_from_the_list(backends: BackendPair, mongodb_url: str) -> None:
    async with native_backend(mongodb_url, timings=ServiceTimings(sweep_interval=0.05)) as native:
        pair = BackendPair(backends.legacy, native)
        expired, lasting = listed(1, token_of({"exp": 1_700_000_000})), listed(2, FOREVER)
        pair.plant({"blacktokens": [expired, lasting, listed(3, "no token")]})
        for backend in (backends.legacy, native):
            await backend.send(post("/users/logout", token="now"))
        while native.database.blacktokens.count_documents({}) > 2:
            await asyncio.sleep(0.02)
        assert [each["blackToken"] for each in native.database.blacktokens.find()] == [FOREVER, "now"]
        assert backends.legacy.database.blacktokens.count_documents({}) == 4
        assert_traced(pair.stored("blacktokens", "tokens-listed-long-ago"), "logged-out-tokens-expire")


async def test_token_is_revoked_alike_by_both(backends: BackendPair) -> None:
    with_users(backends)
    for backend in (backends.legacy, backends.native):
        await backend.send(post("/users/logout", token="any"))
    assert backends.stored("blacktokens")[1] == []


CHANGE = f"/api/prompts/{identity(PROMPTS, 0)}"
FIELDS: list[dict[str, JSON]] = [
    {"clinician": BOLA},
    {"is_deleted": True},
    {"transcript_ids": [identity(TRANSCRIPTS, 0)]},
    {"created_at": "2020-01-01"},
    {"__v": 7},
    {"clinician": "nobody"},
    {"is_deleted": "perhaps"},
    {"transcript_ids": 5},
    {"created_at": "never"},
    {"__v": "x"},
    {"_id": BOLA},
    {"toString": 1},
    {"valueOf": None},
    {"hasOwnProperty": "x"},
    {"$set": {"prompt_name": "set"}},
    {"$unset": {"prompt_text": 1}},
    {"$setOnInsert": {"prompt_name": "x"}, "$set": {"is_deleted": True}},
    {"$currentDate": {"created_at": True}},
    {"$rename": {"prompt_name": "prompt_text"}},
    {"$inc": {"__v": 1}},
    {"$mul": {"__v": 2, "x": 1}, "clinician": BOLA},
    {"$min": {"prompt_name": "A"}},
    {"$max": {"prompt_name": "Z"}},
    {"$bit": {"__v": {"or": 5}}},
    {"$push": {"transcript_ids": BOLA}},
    {"$addToSet": {"transcript_ids": BOLA}},
    {"$pull": {"transcript_ids": BOLA}, "is_deleted": True},
    {"$pullAll": {"transcript_ids": 5}},
    {"$pop": {"transcript_ids": 5}},
]


@shows("prompt-fields")
@pytest.mark.parametrize("change", FIELDS, ids=str)
async def test_divergence_of_a_protected_field(
    backends: BackendPair, keeping: BackendPair, change: dict[str, JSON]
) -> None:
    for pair in (keeping, backends):
        with_users(pair)
        answers = await pair.send(post(CHANGE, {"is_shareable": True, **change}, FOREVER, "PATCH"))
        if pair is keeping:
            answers.assert_equal()
    answers.assert_declared("prompt-fields")
    [stored] = backends.native.database.prompts.find()
    assert {**stored, "updated_at": None} == {**PROMPT, "is_shareable": True, "updated_at": None}


PACKED = b'{"email":"nobody@x","password":"x"}'


async def in_pieces(backends: BackendPair, encoding: str, *pieces: bytes) -> AnswerPair:
    """Send a login whose body comes in chunks."""
    headers = (("content-type", "application/json"), ("content-encoding", encoding), ("transfer-encoding", "chunked"))
    request = RecordedRequest("POST", "/users/login", headers, b"".join(pieces))

    async def answer_of(backend: RunningBackend) -> DecodedAnswer:
        await backend.until_ready()
        return await asyncio.to_thread(send, backend)

    def send(backend: RunningBackend) -> DecodedAnswer:
        connection = HTTPConnection(backend.origin.host, backend.origin.port, timeout=HANG_TIMEOUT)
        try:
            connection.request("POST", request.target, iter(pieces), dict(headers), encode_chunked=True)
            answer = connection.getresponse()
            return DecodedAnswer(
                "response", answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
            )
        except ConnectionError:
            return DecodedAnswer("reset")
        finally:
            connection.close()

    return AnswerPair(request, *await asyncio.gather(answer_of(backends.legacy), answer_of(backends.native)))


@shows("gzip-garbage")
async def test_divergence_of_bytes_after_gzip_padding(backends: BackendPair) -> None:
    packed = gzip.compress(PACKED)
    for pieces in (
        [packed],
        [packed, bytes(8)],
        [packed + bytes(8) + b"x"],
        [packed, b"x"],
        [packed + b"x"],
        [packed[:9]],
    ):
        (await in_pieces(backends, "gzip", *pieces)).assert_equal()
    for _ in range(30):  # it ends only if the last piece comes after the others were inflated
        answers = await in_pieces(backends, "GZIP", packed, bytes(8), b"x")
        if answers.legacy.outcome == "reset":
            break
        answers.assert_equal()
    assert answers.legacy.outcome == "reset"
    assert read(answers.native) == {"msg": "user doesnt exist"}
    answers.assert_declared("gzip-garbage")


@shows("json-bounded")
@pytest.mark.parametrize(
    ("body", "charset"),
    [
        ([0] * MAX_VALUES, "utf-8"),
        ({str(number): {} for number in range(MAX_VALUES)}, "utf-8"),
        (["\ud800"] * (MAX_VALUES // 2) + ["\ud800" * MAX_SURROGATES], "utf-8"),
        (["x" * 70_000], "utf-7"),
    ],
    ids=["values", "keys", "surrogates", "charset"],
)
async def test_divergence_of_a_body_of_many_values(backends: BackendPair, body: JSON, charset: str) -> None:
    kind = (("content-type", f"application/json; charset={charset}"),)
    answers = await backends.send(RecordedRequest("POST", "/users/login", kind, json.dumps(body).encode(charset)))
    assert read(answers.legacy) == {"msg": "user doesnt exist"}
    assert answers.native.status == 413
    answers.assert_declared("json-bounded")


async def test_body_of_any_depth_within_bounds_is_read(backends: BackendPair) -> None:
    deep = '{"email":"nobody@x","password":"x","rest":' + "[" * 4000 + "]" * 4000 + "}"
    kind = (("content-type", "application/json"),)
    answers = await backends.send(RecordedRequest("POST", "/users/login", kind, deep.encode()))
    assert read(answers.native) == {"msg": "user doesnt exist"}
    answers.assert_equal()


@shows("brotli-garbage")
async def test_divergence_of_bytes_after_a_brotli_body(backends: BackendPair) -> None:
    packed = brotli.compress(PACKED)
    for pieces in ([packed], [packed[:5], packed[5:]], [b"x"], [packed[:-1]]):
        (await in_pieces(backends, "br", *pieces)).assert_equal()
    answers = await in_pieces(backends, "br", packed + b"x")
    assert read(answers.legacy) == {"msg": "user doesnt exist"}
    assert answers.native.status == 400
    answers.assert_declared("brotli-garbage")
