"""v1 against OWASP's API Security Top 10 of 2023: a section for each in its order, API2 in `test_security_logins`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from bson import ObjectId
from starlette.types import Receive, Scope, Send

from handlers.v1.app import create_v1, route_methods
from handlers.v1.errors import MAX_STEPS
from tests.support.outside_services import Answer, Script
from tests.support.sockets import serving
from tests.support.v1_client import NOBODY, PASSWORD, V1, Person, Surface, expect, sign_up, v1_surface

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPEN = {("POST", "/api/v1/users/register"), ("POST", "/api/v1/users/login"), ("GET", "/health")}
ANYBODYS = {("POST", "/api/v1/users/logout"), ("GET", "/api/v1/users/profile")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def surface(mongodb_url: str) -> AsyncIterator[Surface]:
    async with v1_surface(mongodb_url) as opened:
        yield opened


@dataclass(frozen=True)
class Belongings:
    """The ids of a clinician's documents."""

    consultation: str
    transcript: str
    note: str
    prompt: str


async def furnish(person: Person) -> Belongings:
    started = await person.start()
    note = await person.post("/notes", {"consultation_id": started["id"], "body": "private"})
    prompt = await person.post("/prompts", {"name": "private", "text": "private"})
    return Belongings(started["id"], started["transcript_id"], note["id"], prompt["id"])


Attempt = Callable[[Belongings, Belongings], tuple[str, str, Any]]
ATTEMPTS: dict[str, Attempt] = {  # (another's ids, the caller's) -> a request for the other's document
    "read a consultation": lambda their, _: ("GET", f"/consultations/{their.consultation}", None),
    "end a consultation": lambda their, _: ("POST", f"/consultations/{their.consultation}/end", {}),
    "use a prompt": lambda their, my: ("POST", f"/consultations/{my.consultation}/end", {"prompt_id": their.prompt}),
    "read a transcript": lambda their, _: ("GET", f"/transcripts/{their.transcript}", None),
    "change a transcript": lambda their, _: ("PUT", f"/transcripts/{their.transcript}", {"text": "mine"}),
    "write a note": lambda their, _: ("POST", "/notes", {"consultation_id": their.consultation, "body": "mine"}),
    "list notes": lambda their, _: ("GET", f"/notes?consultation_id={their.consultation}", None),
    "change a note": lambda their, _: ("PATCH", f"/notes/{their.note}", {"body": "mine"}),
    "delete a note": lambda their, _: ("DELETE", f"/notes/{their.note}", None),
    "change a prompt": lambda their, _: ("PATCH", f"/prompts/{their.prompt}", {"name": "mine"}),
    "delete a prompt": lambda their, _: ("DELETE", f"/prompts/{their.prompt}", None),
    "tie a prompt": lambda their, my: ("PUT", f"/prompts/{their.prompt}/transcripts/{my.transcript}", None),
    "tie a transcript": lambda their, my: ("PUT", f"/prompts/{my.prompt}/transcripts/{their.transcript}", None),
    "summarise": lambda their, _: ("POST", "/ai/summary", {"consultation_id": their.consultation}),
}


# API1:2023 Broken Object Level Authorization


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=list(ATTEMPTS))
async def test_foreign_resources_are_404_and_unchanged(surface: Surface, attempt: Attempt) -> None:
    amara, ben = surface.person(), surface.person()
    theirs, mine = await furnish(ben), await furnish(amara)
    before = everything(surface)
    method, path, body = attempt(theirs, mine)
    refused = await amara.send(method, path, json=body)
    method, path, body = attempt(Belongings(NOBODY, NOBODY, NOBODY, NOBODY), mine)
    unknown = await amara.send(method, path, json=body)
    assert expect(404, refused) == expect(404, unknown)
    assert everything(surface) == before


async def test_lists_contain_own_resources_only(surface: Surface) -> None:
    amara, ben = surface.person(), surface.person()
    await furnish(ben)
    mine = await furnish(amara)
    assert [each["id"] for each in (await amara.get("/consultations"))["items"]] == [mine.consultation]
    assert [each["id"] for each in (await amara.get("/prompts"))["items"] if not each["is_shareable"]] == [mine.prompt]


async def test_shared_prompt_is_usable_and_read_only(surface: Surface) -> None:
    amara, ben = surface.person(), surface.person()
    shared = await ben.post("/prompts", {"name": "ours", "text": "x", "is_shareable": True})
    expect(404, await amara.send("PATCH", f"/prompts/{shared['id']}", json={"text": "mine"}))
    expect(404, await amara.send("DELETE", f"/prompts/{shared['id']}"))


async def test_colleagues_note_on_own_consultation_is_read_only(surface: Surface) -> None:
    amara, ben = surface.person(), surface.person()
    mine = await furnish(amara)
    body = {"body": "a colleague's", "transcriptId": mine.transcript}
    written = await surface.client.post(f"/api/notes/{mine.consultation}", json=body, headers=ben.headers)
    note = expect(201, written)["note"]["_id"]
    expect(404, await amara.send("PATCH", f"/notes/{note}", json={"body": "mine"}))
    listed = await amara.get("/notes", params={"consultation_id": mine.consultation})
    assert [each["id"] for each in listed["items"]] == [mine.note]


async def test_foreign_transcript_behind_a_link_is_404_and_unchanged(surface: Surface) -> None:
    amara, ben = surface.person(), surface.person()
    theirs, mine = await furnish(ben), await furnish(amara)
    link = {"$set": {"transcript": ObjectId(theirs.transcript)}}
    surface.database["consultations"].update_one({"_id": ObjectId(mine.consultation)}, link)
    before = everything(surface)
    refused = await amara.send("POST", f"/consultations/{mine.consultation}/end", json={})
    assert expect(404, refused) == {"detail": "Transcript not found"}
    assert everything(surface) == before


def everything(surface: Surface) -> dict[str, list[Any]]:
    names = ("consultations", "transcripts", "notes", "prompts")
    return {name: list(surface.database[name].find().sort("_id")) for name in names}


# API3:2023 Broken Object Property Level Authorization


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/users/register", {"username": "amara", "email": "a@b.example", "password": PASSWORD}, "_id"),
        ("POST", "/users/register", {"username": "amara", "email": "a@b.example", "password": PASSWORD}, "createdAt"),
        ("POST", "/consultations/start", {}, "clinician"),
        ("POST", "/consultations/start", {}, "status"),
        ("PUT", "/transcripts/{0.transcript}", {"text": "x"}, "clinician"),
        ("PUT", "/transcripts/{0.transcript}", {"text": "x"}, "summary"),
        ("POST", "/notes", {"body": "x"}, "clinician"),
        ("PATCH", "/notes/{0.note}", {"body": "x"}, "consultation_id"),
        ("POST", "/prompts", {"name": "x", "text": "x"}, "is_deleted"),
        ("PATCH", "/prompts/{0.prompt}", {"name": "x"}, "clinician"),
        ("PATCH", "/prompts/{0.prompt}", {"name": "x"}, "$set"),
    ],
)
async def test_unknown_fields_are_not_stored(
    surface: Surface, method: str, path: str, body: dict[str, object], field: str
) -> None:
    amara = surface.person()
    mine = await furnish(amara)
    needed = {"/users/register": {"role": "patient"}, "/notes": {"consultation_id": mine.consultation}}.get(path, {})
    before = everything(surface)
    answer = await amara.send(method, path.format(mine), json={**body, **needed, field: NOBODY})
    assert [fault["loc"] for fault in expect(422, answer)["detail"]] == [["body", field]]
    assert everything(surface) == before


async def test_stored_only_fields_are_not_shown(surface: Surface) -> None:
    amara = surface.person()
    surface.database["users"].update_one({"_id": amara.identity}, {"$set": {"password": PASSWORD, "nhs_number": 7}})
    assert (await amara.get("/users/profile")).keys() == {"id", "username", "email", "role", "created_at"}
    prompt = (await furnish(amara)).prompt
    shown = expect(200, await amara.send("PATCH", f"/prompts/{prompt}", json={}))
    assert shown.keys() == {"id", "name", "text", "is_shareable", "is_own", "created_at", "updated_at"}


# API4:2023 Unrestricted Resource Consumption


async def endless(pieces: int) -> AsyncIterator[bytes]:
    for _ in range(pieces):
        yield b" " * 1_000_000


async def test_bodies_have_a_limit(surface: Surface) -> None:
    amara = surface.person()
    headers = {"content-type": "application/json"}
    for content in (b" " * 10_485_761, endless(11)):
        answer = await amara.send("POST", "/ai/search", content=content, headers=headers)
        assert expect(413, answer) == {"detail": "Content Too Large"}
    expect(422, await amara.send("POST", "/ai/search", content=b" " * 1000 + b"{}", headers=headers))


async def test_lists_and_texts_have_limits(surface: Surface) -> None:
    amara = surface.person()
    expect(422, await amara.send("GET", "/consultations?limit=101"))
    expect(422, await amara.send("POST", "/ai/images", json={"images": ["http://x"] * 11}))
    expect(422, await amara.send("POST", "/ai/search", json={"query": "x" * 4001}))
    expect(
        422, await amara.send("POST", "/consultations/start", json={"patient_data": {str(n): n for n in range(101)}})
    )


@pytest.mark.parametrize("key", ["k{}", "k{}" + "x" * 1000, "\ud800{}"])
async def test_answer_to_many_faults_is_short(surface: Surface, key: str) -> None:
    fields = {key.format(number): number for number in range(2000)}
    for path in ("/notes", "/prompts", "/consultations/start", "/users/register"):
        answer = await surface.person().send(
            "POST", path, content=json.dumps(fields), headers={"content-type": "application/json"}
        )
        assert len(answer.content) < 10_000
        expect(422, answer)


async def test_answer_to_a_deep_fault_is_short(surface: Surface) -> None:
    deep = '{"a":' * 100 + '{"\\u0000": 1}' + "}" * 100
    content = f'{{"patient_data": {deep}}}'
    answer = await surface.person().send(
        "POST", "/consultations/start", content=content, headers={"content-type": "application/json"}
    )
    (fault, *_) = expect(422, answer)["detail"]
    assert len(fault["loc"]) == MAX_STEPS


async def test_deeply_nested_body_is_refused(surface: Surface) -> None:
    amara = surface.person()
    content = b'{"patient_data":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001
    answer = await amara.send(
        "POST", "/consultations/start", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 413, 422)


# API5:2023 Broken Function Level Authorization


def routes() -> set[tuple[str, str]]:
    """Return every method and path that the app answers."""
    return {(method, path.replace(":id}", "}")) for path, methods in route_methods() for method in methods}


@pytest.mark.parametrize(("method", "path"), sorted(routes() - OPEN))
async def test_routes_all_require_a_token(surface: Surface, method: str, path: str) -> None:
    answer = await surface.client.request(method, path.format_map(Anything()))
    assert expect(401, answer) == {"detail": "Not authenticated"}


@pytest.mark.parametrize(("method", "path"), sorted(routes() - OPEN - ANYBODYS))
async def test_clinician_routes_refuse_patients(surface: Surface, method: str, path: str) -> None:
    patient = surface.person("patient")
    answer = await patient.send(method, path.removeprefix(V1).format_map(Anything()))
    assert expect(403, answer) == {"detail": "Only clinicians may do this"}


class Anything(dict[str, str]):
    """An id for every parameter of a path."""

    def __missing__(self, _: str) -> str:
        return NOBODY


# API6:2023 Unrestricted Access to Sensitive Business Flows


async def test_registrations_from_one_address_are_limited(mongodb_url: str) -> None:
    async with v1_surface(mongodb_url, register_limit="2/hour") as surface:
        await sign_up(surface)
        await sign_up(surface)
        user = {"username": "amara", "email": "a@b.example", "password": PASSWORD, "role": "clinician"}
        refused = await surface.client.post(f"{V1}/users/register", json=user)
        assert expect(429, refused) == {"detail": "Too many attempts, please try again later"}
        headers = {"x-forwarded-for": "192.0.2.1"}
        expect(429, await surface.client.post(f"{V1}/users/register", json=user, headers=headers))
        assert surface.database["users"].count_documents({}) == 2


async def test_behind_a_trusted_proxy_each_client_counts_alone(mongodb_url: str) -> None:
    async with v1_surface(mongodb_url, login_limit="1/hour", trusted_proxies="127.0.0.1") as surface:
        login = {"email": "a@b.example", "password": PASSWORD}
        answers = [
            await surface.client.post(f"{V1}/users/login", json=login, headers={"x-forwarded-for": client})
            for client in ("192.0.2.1", "192.0.2.1", "192.0.2.2")
        ]
        assert [answer.status_code for answer in answers] == [401, 429, 401]


# API7:2023 Server Side Request Forgery


async def test_client_supplied_urls_are_never_fetched(surface: Surface) -> None:
    fetched: list[str] = []

    async def canary(scope: Scope, receive: Receive, send: Send) -> None:
        fetched.append(scope["path"])
        await Script([Answer()])(scope, receive, send)

    amara = surface.person()
    async with serving(canary) as port:
        address = f"http://127.0.0.1:{port}/meta-data"
        await amara.post("/ai/images", {"images": [address]}, 200)
        await amara.post("/ai/search", {"query": address}, 200)
        await amara.get("/ai/codes", params={"name": address})
    assert fetched == []


# API8:2023 Security Misconfiguration


async def test_answers_do_not_name_the_software(surface: Surface) -> None:
    amara = surface.person()
    for answer in (await amara.send("GET", "/users/profile"), await amara.send("POST", "/notes", json=[])):
        assert not {"x-powered-by", "server", "etag"} & set(answer.headers)
        assert (answer.headers["x-content-type-options"], answer.headers["cache-control"]) == ("nosniff", "no-store")
        assert "Traceback" not in answer.text


async def test_other_media_types_are_refused(surface: Surface) -> None:
    amara = surface.person()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = await amara.send("POST", "/ai/search", content=b'{"query": "x"}', headers={"content-type": kind})
        expect(422, answer)


# API9:2023 Improper Inventory Management


async def test_routes_are_all_documented(surface: Surface) -> None:
    paths = create_v1().openapi()["paths"]
    assert {(method.upper(), path) for path, item in paths.items() for method in item} == routes()
    for path in ("/docs", "/redoc", "/openapi.json", "/api/v1/docs", "/api/v2/users/profile"):
        assert (await surface.client.get(path)).status_code == 404


# API10:2023 Unsafe Consumption of APIs


@pytest.mark.parametrize("content", [{"a": 1}, ["x"], 7, None])
async def test_invalid_model_answer_is_502(surface: Surface, content: object) -> None:
    said = Answer(body=json.dumps({"choices": [{"message": {"content": content}}]}).encode())
    with surface.outside.giving(Script([said])):
        answer = await surface.person().send("POST", "/ai/search", json={"query": "x"})
    assert expect(502, answer) == {"detail": "The model gave no usable answer"}
