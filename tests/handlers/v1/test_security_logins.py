"""v1 against OWASP's API2:2023, Broken Authentication: failed logins are limited, and passwords are never shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from bson import ObjectId

from tests.support.v1_client import PASSWORD, V1, Surface, expect, log_in, sign_up, v1_surface

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAILED_LOGINS = "10/hour"
"""As by default, but in a window that no busy machine lets pass while passwords are hashed."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def surface(mongodb_url: str) -> AsyncIterator[Surface]:
    async with v1_surface(mongodb_url, failed_login_limit=FAILED_LOGINS) as opened:
        yield opened


async def test_password_guesses_are_limited(surface: Surface) -> None:
    email = await sign_up(surface)
    guesses = await asyncio.gather(*(log_in(surface, email, f"guess {number}") for number in range(14)))
    assert sorted(answer.status_code for answer in guesses) == [401] * 10 + [429] * 4
    refused = await log_in(surface, email.upper(), PASSWORD)
    assert expect(429, refused) == {"detail": "Too many attempts, please try again later"}
    assert 1 <= int(refused.headers["retry-after"]) <= 3601
    expect(200, await log_in(surface, await sign_up(surface), PASSWORD))


async def test_both_apis_count_failed_logins_together(surface: Surface) -> None:
    email = await sign_up(surface)
    wrong = {"email": email, "password": "a wrong guess"}
    for _ in range(5):
        expect(401, await log_in(surface, email, "a wrong guess"))
        assert (await surface.client.post("/users/login", json=wrong)).json() == {"msg": "wrong credentials"}
    expect(429, await log_in(surface, email, PASSWORD))
    refused = await surface.client.post("/users/login", json={**wrong, "password": PASSWORD})
    assert expect(429, refused) == {"msg": "Too many attempts, please try again later"}
    assert 1 <= int(refused.headers["retry-after"]) <= 3601


@pytest.mark.parametrize("path", ["/users/login", f"{V1}/users/login"])
async def test_owner_can_log_in_during_an_attack_from_elsewhere(mongodb_url: str, path: str) -> None:
    async with v1_surface(mongodb_url, failed_login_limit=FAILED_LOGINS) as surface:
        email = await sign_up(surface)
        transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
        async with httpx.AsyncClient(transport=transport, base_url=surface.client.base_url) as other:
            for _ in range(12):
                refused = await other.post(path, json={"email": email, "password": "a wrong guess"})
            assert refused.status_code == 429
        answer = await surface.client.post(path, json={"email": email, "password": PASSWORD})
        assert "token" in expect(200, answer) or "access_token" in answer.json()


async def test_legacy_api_counts_logins_by_client(mongodb_url: str) -> None:
    async with v1_surface(mongodb_url, login_limit="2/hour") as surface:
        emails = [await sign_up(surface) for _ in range(3)]
        statuses = [
            (await surface.client.post("/users/login", json={"email": email, "password": "x"})).status_code
            for email in emails
        ]
        assert statuses == [200, 200, 429]


async def test_legacy_surface_counts_only_wrong_passwords_of_accounts(mongodb_url: str) -> None:
    async with v1_surface(mongodb_url, login_limit="2/hour", failed_login_limit="2/hour") as surface:
        email = await sign_up(surface)
        logins = [{"email": email, "password": PASSWORD}] * 5 + [{"email": "nobody@b.example", "password": "x"}] * 5
        answers = await asyncio.gather(*(surface.client.post("/users/login", json=login) for login in logins))
        assert [expect(200, answer)["msg"] for answer in answers] == ["login successful"] * 5 + [
            "user doesnt exist"
        ] * 5


async def test_concurrent_guesses_are_counted_exactly(surface: Surface) -> None:
    guess = {"email": await sign_up(surface), "password": "a wrong guess"}
    answers = await asyncio.gather(*(surface.client.post("/users/login", json=guess) for _ in range(15)))
    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [429] * 5


async def test_successful_logins_are_not_counted(surface: Surface) -> None:
    email = await sign_up(surface)
    for _ in range(12):
        expect(200, await log_in(surface, email, PASSWORD))


async def test_guesses_on_an_unknown_address_are_limited_alike(surface: Surface) -> None:
    unknown = f"{ObjectId()}@clinic.example"
    answers = [await log_in(surface, email, "wrong") for email in (await sign_up(surface), unknown) for _ in range(11)]
    assert [answer.status_code for answer in answers] == ([401] * 10 + [429]) * 2
    assert {answer.text for answer in answers[:10]} == {answer.text for answer in answers[11:21]}


async def test_password_is_never_echoed(surface: Surface) -> None:
    for path in ("register", "login"):
        body = {"email": 7, "password": PASSWORD, "username": "x", "role": "x"}
        refused = await surface.client.post(f"{V1}/users/{path}", json=body)
        assert PASSWORD not in json.dumps(expect(422, refused))
