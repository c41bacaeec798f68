"""Accounts on v1, and the use of users, passwords and tokens across both APIs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import bcrypt
import pytest
import pytest_asyncio

from handlers.legacy.auth import sign
from tests.support.backends import SECRET
from tests.support.v1_client import TOKENS, V1, Surface, expect, v1_surface

pytestmark = pytest.mark.asyncio(loop_scope="module")

AMARA = {"username": "amara", "email": "Amara@Clinic.example", "password": "correct horse", "role": "clinician"}
LOGIN = {"email": "amara@clinic.example", "password": "correct horse"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def surface(mongodb_url: str) -> AsyncIterator[Surface]:
    async with v1_surface(mongodb_url, register_limit="1000/minute") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _empty(surface: Surface) -> None:
    surface.database["users"].delete_many({})


async def register(surface: Surface, **changes: object) -> Any:
    return await surface.client.post(f"{V1}/users/register", json={**AMARA, **changes})


async def log_in(surface: Surface, **changes: object) -> Any:
    return await surface.client.post(f"{V1}/users/login", json={**LOGIN, **changes})


async def test_registers(surface: Surface) -> None:
    user = expect(201, await register(surface))
    assert user.keys() == {"id", "username", "email", "role", "created_at"}
    assert (user["username"], user["email"], user["role"]) == ("amara", "amara@clinic.example", "clinician")
    assert user["created_at"].endswith("Z")
    stored = surface.database["users"].find_one({"email": "amara@clinic.example"}) or {}
    assert str(stored["_id"]) == user["id"]
    assert stored["password"].startswith("$2b$08$")
    assert bcrypt.checkpw(b"correct horse", stored["password"].encode())


async def test_address_registers_once_in_any_case(surface: Surface) -> None:
    expect(201, await register(surface))
    assert expect(400, await register(surface, email="AMARA@clinic.example")) == {"detail": "User already exists"}


async def test_concurrent_registrations_create_one_user(surface: Surface) -> None:
    answers = await asyncio.gather(*(register(surface) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "ab"),
        ("username", "a" * 51),
        ("username", "   "),
        ("username", " amara"),
        ("email", "amara"),
        ("email", "amara@clinic"),
        ("email", None),
        ("password", "seven77"),
        ("password", 12345678),
        ("role", "admin"),
        ("is_admin", True),
    ],
)
async def test_names_the_field_at_fault(surface: Surface, field: str, value: object) -> None:
    detail = expect(422, await register(surface, **{field: value}))["detail"]
    assert [fault["loc"] for fault in detail] == [["body", field]]
    assert all(fault.keys() == {"loc", "msg", "type"} for fault in detail)


async def test_names_every_field_at_fault(surface: Surface) -> None:
    detail = expect(422, await surface.client.post(f"{V1}/users/register", json={}))["detail"]
    assert [fault["loc"][1] for fault in detail] == ["username", "email", "password", "role"]


async def test_logs_in(surface: Surface) -> None:
    user = expect(201, await register(surface))
    session = expect(200, await log_in(surface, email="AMARA@clinic.example"))
    assert session.keys() == {"access_token", "token_type", "user"}
    assert (session["token_type"], session["user"]) == ("bearer", user)
    bearer = {"authorization": f"bearer {session['access_token']}"}
    assert expect(200, await surface.client.get(f"{V1}/users/profile", headers=bearer)) == user


@pytest.mark.parametrize("wrong", [{"password": "wrong horse"}, {"email": "nobody@clinic.example"}, {"email": "amara"}])
async def test_failed_login_does_not_name_the_cause(surface: Surface, wrong: dict[str, str]) -> None:
    await register(surface)
    answer = await log_in(surface, **wrong)
    assert expect(401, answer) == {"detail": "Incorrect email or password"}
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_user_without_a_password_cannot_log_in(surface: Surface) -> None:
    await register(surface)
    surface.database["users"].update_one({}, {"$unset": {"password": 1}})
    expect(401, await log_in(surface))


async def test_token_is_refused_after_logout(surface: Surface) -> None:
    amara = surface.person()
    assert await amara.post("/users/logout", None, 200) == {"message": "Logged out"}
    assert expect(401, await amara.send("GET", "/users/profile")) == {"detail": "Invalid or expired token"}
    expect(401, await amara.send("POST", "/users/logout"))


async def test_token_of_a_deleted_user_is_refused(surface: Surface) -> None:
    amara = surface.person()
    surface.database["users"].delete_one({"_id": amara.identity})
    expect(401, await amara.send("GET", "/users/profile"))


@pytest.mark.parametrize("header", [None, "", "Bearer", "Token {}", "{}"])
async def test_missing_or_invalid_token_is_refused(surface: Surface, header: str | None) -> None:
    amara = surface.person()
    headers = {} if header is None else {"authorization": header.format(amara.token)}
    answer = await surface.client.get(f"{V1}/users/profile", headers=headers)
    assert expect(401, answer) == {"detail": "Not authenticated"}
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_legacy_accepts_users_and_tokens_of_v1(surface: Surface) -> None:
    expect(201, await register(surface))
    legacy = await surface.client.post("/users/login", json=LOGIN)
    assert legacy.json()["msg"] == "login successful"
    session = expect(200, await log_in(surface))
    headers = {"authorization": f"Bearer {session['access_token']}"}
    assert expect(200, await surface.client.get("/users/profile", headers=headers))["data"]["name"] == "amara"
    expect(200, await surface.client.post(f"{V1}/users/logout", headers=headers))
    expect(401, await surface.client.get("/users/profile", headers=headers))


async def test_v1_accepts_users_and_tokens_of_the_legacy(surface: Surface) -> None:
    expect(200, await surface.client.post("/users/register", json=AMARA))
    expect(200, await log_in(surface))
    token = (await surface.client.post("/users/login", json=LOGIN)).json()["token"]
    headers = {"authorization": f"Bearer {token}"}
    assert expect(200, await surface.client.get(f"{V1}/users/profile", headers=headers))["username"] == "amara"
    expect(200, await surface.client.post("/users/logout", headers=headers))
    expect(401, await surface.client.get(f"{V1}/users/profile", headers=headers))


async def test_token_has_the_claims_of_legacys(surface: Surface) -> None:
    amara = surface.person()
    issued, from_legacy = (
        TOKENS.issue(amara.identity, "zoë"),
        sign({"userID": amara.identity, "author": "zoë"}, SECRET, 3600),
    )
    assert TOKENS.read(issued).user == TOKENS.read(from_legacy).user == amara.identity
    assert abs(TOKENS.read(issued).expires - TOKENS.read(from_legacy).expires) <= 1
