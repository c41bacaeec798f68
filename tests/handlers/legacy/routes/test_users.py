"""`/users` on native and on the demo legacy: equal, except for declared differences."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import bcrypt
import httpx
import jwt
import pytest
import pytest_asyncio
from bson import ObjectId

from handlers.legacy.auth import sign
from tests.support.backends import SECRET, Backend, legacy_backend, native_backend, token_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

AMARA = {"username": "amara", "email": "amara@clinic.example", "password": "correct horse", "role": "clinician"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def native(mongodb_url: str) -> AsyncIterator[Backend]:
    async with native_backend(mongodb_url) as backend:
        yield backend


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def legacy(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    async with legacy_backend(mongodb_url, tmp_path_factory.mktemp("legacy") / "log") as backend:
        yield backend


@pytest.fixture(autouse=True)
def _empty(native: Backend, legacy: Backend) -> None:
    for backend in (native, legacy):
        for collection in ("users", "blacktokens"):
            backend.database[collection].delete_many({})


def plant(native: Backend, legacy: Backend, collection: str, *documents: dict[str, Any]) -> None:
    """Insert the same documents into both databases."""
    for backend in (native, legacy):
        backend.database[collection].insert_many([dict(document) for document in documents])


def comparable(response: httpx.Response) -> object:
    """Return an answer's status, type and text; of a token only the claims that do not depend on the time."""
    text = response.text
    if '"token":"' in text:
        claims = jwt.decode(json.loads(text)["token"], options={"verify_signature": False})
        times = {"lasts": claims.pop("exp") - claims.pop("iat")}
        identity = {"userID": type(claims.pop("userID")).__name__}
        text = json.dumps([claims, times, identity])
    return response.status_code, response.headers["content-type"], text


async def both(native: Backend, legacy: Backend, method: str, path: str, **request: Any) -> None:
    """Send a request to both backends, and assert that they answer the same."""
    by_native = await native.client.request(method, path, **request)
    by_legacy = await legacy.client.request(method, path, **request)
    assert comparable(by_native) == comparable(by_legacy), (method, path, request)


def stored(backend: Backend, collection: str = "users") -> list[dict[str, Any]]:
    """Return the stored documents, with types in place of dates and ids."""
    documents = []
    for document in backend.database[collection].find({}, sort=[("_id", 1)]):
        shown = {key: type(value).__name__ if key in ("_id", "createdAt") else value for key, value in document.items()}
        if "password" in shown:
            shown["password"] = shown["password"][:7]
        documents.append({"order": list(document), **shown})
    return documents


ODD_PASSWORDS: list[object] = [None, 5, 0, True, [], {}, ["correct horse"]]
REGISTRATIONS: list[object] = [
    AMARA,
    AMARA,
    {**AMARA, "email": "AMARA@CLINIC.EXAMPLE"},
    {
        **AMARA,
        "username": "  Dr Osei ",
        "email": "Osei@Clinic.Example",
        "role": "patient",
        "isAdmin": True,
        "prompts": [1],
    },
    *(
        {**AMARA, "email": email, "password": password}
        for email in ("no@password", AMARA["email"])
        for password in ODD_PASSWORDS
    ),
    {**AMARA, "email": "empty@password", "password": ""},
    {**AMARA, "email": "nul@password", "password": "a\0b"},
    {**AMARA, "email": "long@password", "password": "x" * 100},
    {**AMARA, "email": 5},
    {**AMARA, "email": 5.5, "username": 7},
    {**AMARA, "email": True, "username": False},
    {**AMARA, "email": {"a": 1}},
    {**AMARA, "email": {"_id": "by@id"}, "username": {"_id": "byid"}},
    {**AMARA, "email": " spaced@x "},
    {**AMARA, "email": "ÄÖ@İ.example"},
    {**AMARA, "email": "nobody@x", "password": 5, "role": "admin"},
    [],
    [AMARA],
]


async def test_registers_as_the_legacy(native: Backend, legacy: Backend) -> None:
    for registration in REGISTRATIONS:
        if registration not in ([], [AMARA]):
            await both(native, legacy, "POST", "/users/register", json=registration)
    await both(native, legacy, "POST", "/users/register", content="x")
    await both(native, legacy, "POST", "/users/register", json=[])
    assert stored(native) == stored(legacy)


ODD_EMAILS: list[object] = [
    *(None, 5, 5.5, True, "", "x@y", [], {}, {"a": 1}),
    *([None], [5], ["amara@clinic.example"], [[]], [{}]),
]
LOGINS: list[object] = [
    {},
    [],
    {"email": "amara@clinic.example", "password": "correct horse"},
    {"email": "AMARA@Clinic.Example", "password": "correct horse", "more": 1},
    {"email": "amara@clinic.example"},
    *({"email": "amara@clinic.example", "password": password} for password in ODD_PASSWORDS),
    *({"email": email, "password": "correct horse"} for email in ODD_EMAILS),
    {"email": ["x@y", "AMARA@clinic.example"], "password": "correct horse"},
    {"email": {"_id": "amara@clinic.example"}, "password": "correct horse"},
    {"email": {"_id": 5}, "password": "correct horse"},
    *({"email": {"_bsontype": kind, "pattern": "a"}, "password": "x"} for kind in ("BSONRegExp", "RegExp")),
    {"email": "no@one", "password": 5},
    {"email": "no@one", "password": "x" * 100},
    {"email": "no@one\u0000", "password": "x"},
    {"email": "a" * 3000, "password": "x"},
]


async def test_logs_in_as_the_legacy(native: Backend, legacy: Backend) -> None:
    hashed = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()
    plant(native, legacy, "users", {**AMARA, "_id": ObjectId(), "password": hashed})
    for login in LOGINS:
        await both(native, legacy, "POST", "/users/login", json=login)
    await both(native, legacy, "POST", "/users/login")
    await both(native, legacy, "GET", "/users/login")


def hashed(password: str, version: str = "2b") -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, version.encode())).decode()


OLDER: list[dict[str, Any]] = [
    {"email": "bare@x"},
    {"email": "nothing@x", "password": None, "username": None, "role": None, "createdAt": None},
    {"email": "number@x", "password": 5, "username": 6, "role": 7},
    {"email": "a@x", "password": hashed("p", "2a"), "username": "a", "role": "odd", "more": {"x": 1}},
    {"email": "unnamed@x", "password": hashed("p"), "createdAt": "2020-01-02T03:04:05Z"},
    {"email": "listed@x", "password": ["p"], "username": ["u"], "role": {"a": 1}, "createdAt": "never"},
    {"email": 5, "password": hashed("p"), "username": "  five ", "createdAt": 86_400_000},
    {"email": "UPPER@X", "password": hashed("p"), "username": "upper"},
    {"email": None, "password": hashed("p"), "username": "null"},
    {"email": "spelt@x", "password": hashed("p"), "username": {"toString": 1}, "createdAt": None},
    {"email": "long@x", "password": hashed("x" * 72), "username": "long", "prompts": "odd", "notes": None},
]


async def test_reads_older_users_as_the_legacy(native: Backend, legacy: Backend) -> None:
    for number, older in enumerate(OLDER):
        identity = ObjectId(f"{number:024x}")
        plant(native, legacy, "users", {"_id": identity, **older})
        token = sign({"userID": identity}, SECRET, 60)
        await both(native, legacy, "GET", "/users/users/checkEmail", params={"email": str(older["email"])})
        for password in ("p", "x" * 100):
            right = isinstance(older.get("password"), str) and (password == "p") != (older["email"] == "long@x")
            if right or not isinstance(older.get("password"), str | int):
                login = {"email": older["email"], "password": password}
                await both(native, legacy, "POST", "/users/login", json=login)
        if "createdAt" in older and older["createdAt"] != "never":
            await both(native, legacy, "GET", "/users/profile", headers={"authorization": f"Bearer {token}"})


async def test_profile_without_a_date_shows_the_current_one(native: Backend) -> None:
    identity = ObjectId()
    native.database.users.insert_one({"_id": identity, "email": "bare@x"})
    headers = {"authorization": f"Bearer {sign({'userID': identity}, SECRET, 60)}"}
    shown = (await native.client.get("/users/profile", headers=headers)).json()
    assert list(shown["data"]) == ["email", "createdAt"]


IDENTITIES: list[object] = [
    None,
    5,
    True,
    "x",
    "64b7f0f0f0f0f0f0f0f0f0f0",
    "twelve bytes",
    [],
    ["64b7f0f0f0f0f0f0f0f0f0f0"],
    {},
    {"a": 1},
    {"_id": "64b7f0f0f0f0f0f0f0f0f0f0"},
    {"$ne": None},
    {"$gt": ""},
    {"$in": ["64b7f0f0f0f0f0f0f0f0f0f0"]},
    {"$where": "1"},
    {"$oid": "64b7f0f0f0f0f0f0f0f0f0f0"},
]


async def test_profiles_are_shown_alike(native: Backend, legacy: Backend) -> None:
    created = {"createdAt": datetime(2026, 1, 2)}
    plant(native, legacy, "users", {**AMARA, **created, "_id": ObjectId("64b7f0f0f0f0f0f0f0f0f0f0")})
    unreadable = {"_id": ObjectId("64b7f0f0f0f0f0f0f0f0f0f1"), "email": "b@x", "__v": {"toString": 1}}
    plant(native, legacy, "users", {**AMARA, **created, **unreadable})
    for identity in (*IDENTITIES, "64b7f0f0f0f0f0f0f0f0f0f1"):
        token = token_of({"userID": identity})
        await both(native, legacy, "GET", "/users/profile", headers={"authorization": f"x {token}"})
        await both(native, legacy, "HEAD", "/users/profile", headers={"authorization": f"x {token}"})
    for payload in ({}, {"userId": "x"}):
        token = token_of(payload)
        await both(native, legacy, "GET", "/users/profile", headers={"authorization": f"x {token}"})
    await both(native, legacy, "POST", "/users/profile")
    await both(native, legacy, "GET", "/users/profile/")


QUERIES = [
    "",
    "?",
    "?email",
    "?email=",
    "?email=amara@clinic.example",
    "?email=%41MARA@clinic.example",
    "?email=x&email=amara@clinic.example",
    "?email=amara%40clinic.example",
    "?email=amara@clinic.example%20",
    "?email[]=amara@clinic.example",
    "?email[$ne]=x",
    "?Email=amara@clinic.example",
    "?email=%zz&email=%ff",
    "?email=%00",
    "?__proto__=1&email=5",
]


async def test_checks_addresses_as_the_legacy(native: Backend, legacy: Backend) -> None:
    plant(native, legacy, "users", {**AMARA, "_id": ObjectId()})
    for query in QUERIES:
        await both(native, legacy, "GET", f"/users/users/checkEmail{query}")
    await both(native, legacy, "GET", "/users/checkEmail")
    await both(native, legacy, "GET", "/USERS/users/CHECKEMAIL/?email=x")


async def test_logs_out_as_the_legacy(native: Backend, legacy: Backend) -> None:
    token = sign({"userID": "x"}, SECRET, 60)
    for value in (f"Bearer {token}", f"Bearer {token}", "Bearer not-a-token", "x y z", "a b\xe9"):
        await both(native, legacy, "POST", "/users/logout", headers={"authorization": value.encode("latin-1")})
    await both(native, legacy, "GET", "/users/logout")
    assert stored(native, "blacktokens") == stored(legacy, "blacktokens")


async def test_password_stored_in_plain_text_is_wrong(native: Backend) -> None:
    native.database.users.insert_one({**AMARA, "password": "correct horse"})
    answer = await native.client.post("/users/login", json={"email": AMARA["email"], "password": "correct horse"})
    assert answer.json() == {"msg": "wrong credentials"}


async def test_logout_with_a_scheme_alone_has_no_token(native: Backend) -> None:
    answer = await native.client.post("/users/logout", headers={"authorization": "Bearer"})
    assert (answer.status_code, answer.json()) == (401, {"msg": "Please login, no token provided"})


INVALID: list[tuple[dict[str, object], str]] = [
    ({"role": "admin"}, "role: `admin` is not a valid enum value for path `role`."),
    ({"role": None}, "role: Path `role` is required."),
    ({"username": "  "}, "username: Path `username` is required."),
    ({"email": None}, "email: Path `email` is required."),
    ({"email": ""}, "email: Path `email` is required."),
    ({"username": ["x"]}, 'username: Cast to string failed for value "[ \'x\' ]" (type Array) at path "username"'),
]


async def test_divergence_invalid_registration(native: Backend) -> None:
    for change, message in INVALID:
        answer = await native.client.post("/users/register", json={**AMARA, **change})
        assert (answer.status_code, answer.json()) == (400, {"msg": f"users validation failed: {message}"})
    assert stored(native) == []


async def test_divergence_concurrent_registrations_of_one_address(native: Backend) -> None:
    while "email_1" not in native.database.users.index_information():
        await asyncio.sleep(0.05)
    answers = await asyncio.gather(*(native.client.post("/users/register", json=AMARA) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401, 401]
    assert {answer.text for answer in answers if answer.status_code == 401} == {'{"msg":"User already exists"}'}
    assert native.database.users.count_documents({}) == 1


OPERATOR = {"email": {"$gt": ""}, "password": "correct horse"}


async def test_divergence_an_operator_for_an_email(native: Backend) -> None:
    answer = await native.client.post("/users/login", json=OPERATOR)
    assert answer.status_code == 200
    assert answer.json()["message"] == (
        'Cast to string failed for value "{ \'$gt\': \'\' }" (type Object) at path "email" for model "users"'
    )
    refused = await native.client.post("/users/register", json={**AMARA, **OPERATOR})
    assert refused.json()["name"] == "CastError"


async def test_switches_restore_the_legacy(mongodb_url: str) -> None:
    switches = {"keep_legacy_tokens_after_logout": True, "keep_legacy_email_operators": True}
    async with native_backend(mongodb_url, **switches) as native:
        await native.client.post("/users/register", json=AMARA)
        token = (await native.client.post("/users/login", json=OPERATOR)).json()["token"]
        headers = {"authorization": f"Bearer {token}"}
        await native.client.post("/users/logout", headers=headers)
        assert (await native.client.get("/users/profile", headers=headers)).status_code == 200
        unknown = await native.client.post("/users/login", json={"email": {"$foo": 1}, "password": "x"})
        assert unknown.text == "{}"


async def test_tokens_and_hashes_of_either_work_in_the_other(native: Backend, legacy: Backend) -> None:
    for password in ("correct horse", "x" * 100, "a\0b", "é" * 50, ""):
        for issuer, other in ((native, legacy), (legacy, native)):
            _empty_users(native, legacy)
            await issuer.client.post("/users/register", json={**AMARA, "password": password})
            other.database.users.insert_many(list(issuer.database.users.find()))
            answer = await other.client.post("/users/login", json={**AMARA, "password": password})
            token = answer.json()["token"]
            shown = await issuer.client.get("/users/profile", headers={"authorization": f"Bearer {token}"})
            assert shown.json()["data"]["name"] == "amara"


def _empty_users(*backends: Backend) -> None:
    for backend in backends:
        backend.database.users.delete_many({})
