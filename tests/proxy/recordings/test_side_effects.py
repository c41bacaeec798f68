"""A real database is emptied and read; calls are read and cleared; errors name their source."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from bson import Int64, ObjectId
from pymongo import AsyncMongoClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from proxy.recordings.side_effects import OutsideCalls, SideEffectsError, StoredDocuments, database_of, is_local
from proxy.types import JSON
from tests.support.sockets import read_head, scripted, serving

DATABASE = f"test_aftermath_{os.getpid()}"
Client = AsyncMongoClient[dict[str, object]]


@pytest.fixture
async def client(mongodb_url: str) -> AsyncIterator[Client]:
    async with AsyncMongoClient[dict[str, object]](mongodb_url) as client:
        await client.drop_database(DATABASE)
        yield client
        await client.drop_database(DATABASE)


async def test_documents_are_read_as_relaxed_extended_json(client: Client, mongodb_url: str) -> None:
    oid = ObjectId("6b034563940a5b5bf227fda4")
    at = datetime(2026, 11, 22, 19, 41, 9, 123000, UTC)
    await client[DATABASE].b.insert_one({"_id": oid, "at": at, "n": 1, "long": Int64(2**40), "x": 1.0})
    await client[DATABASE].create_collection("empty")
    async with StoredDocuments(mongodb_url, DATABASE) as documents:
        assert await documents.read() == {
            "b": [
                {
                    "_id": {"$oid": str(oid)},
                    "at": {"$date": "2026-11-22T19:41:09.123Z"},
                    "n": 1,
                    "long": 2**40,
                    "x": 1.0,
                }
            ]
        }


async def test_dates_beyond_pythons_years_are_read(client: Client, mongodb_url: str) -> None:
    given: dict[str, list[JSON]] = {"a": [{"_id": 1, "at": {"$date": {"$numberLong": "253402300800000"}}}]}
    async with StoredDocuments(mongodb_url, DATABASE) as documents:
        await documents.reset(given)
        assert await documents.read() == given


async def test_reset_deletes_documents_and_keeps_indexes(client: Client, mongodb_url: str) -> None:
    users = client[DATABASE].users
    await users.create_index("email", unique=True, name="email_1")
    await users.insert_one({"email": "a"})
    async with StoredDocuments(mongodb_url, DATABASE) as documents:
        await documents.reset({"notes": [{"_id": {"$oid": "6b034563940a5b5bf227fda4"}, "n": 1}], "none": []})
        assert await documents.read() == {"notes": [{"_id": {"$oid": "6b034563940a5b5bf227fda4"}, "n": 1}]}
    assert "email_1" in await users.index_information()
    assert (await client[DATABASE].notes.find_one())["_id"] == ObjectId("6b034563940a5b5bf227fda4")  # type: ignore[index]


async def test_documents_are_read_in_stored_order(client: Client, mongodb_url: str) -> None:
    for number in (3, 1, 2):
        await client[DATABASE].a.insert_one({"_id": number})
    async with StoredDocuments(mongodb_url, DATABASE) as documents:
        assert await documents.read() == {"a": [{"_id": 3}, {"_id": 1}, {"_id": 2}]}


@pytest.mark.parametrize("document", [{"_id": {"$oid": "short"}}, {"at": {"$date": "never"}}, "none"])
async def test_invalid_documents_are_reported(client: Client, mongodb_url: str, document: JSON) -> None:
    async with StoredDocuments(mongodb_url, DATABASE) as documents:
        with pytest.raises(SideEffectsError):
            await documents.reset({"a": [document]})


@pytest.mark.parametrize("name", ["admin", "config", "local"])
def test_databases_of_mongodb_itself_are_kept(name: str) -> None:
    with pytest.raises(ValueError, match="MongoDB's own"):
        StoredDocuments("mongodb://127.0.0.1", name)


async def test_unreachable_database_is_reported() -> None:
    async with StoredDocuments("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100", DATABASE) as documents:
        with pytest.raises(SideEffectsError, match="MongoDB"):
            await documents.reset({})
        with pytest.raises(SideEffectsError, match="MongoDB"):
            await documents.read()


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("mongodb://127.0.0.1:27017/?directConnection=true", True),
        ("mongodb://localhost,[::1]:3/x", True),
        ("mongodb://%2Ftmp%2Fmongodb-27017.sock", True),
        ("mongodb://127.0.0.1,db.example", False),
        ("mongodb://10.0.0.1", False),
        ("mongodb+srv://localhost.example/x", False),
    ],
)
def test_loopback_hosts_are_local(url: str, local: bool) -> None:
    assert is_local(url) is local


@pytest.mark.parametrize(
    ("url", "name"),
    [("mongodb://h/scribe?w=1", "scribe"), ("mongodb://h", None), ("mongodb+srv://h.example.org/x", "x")],
)
def test_url_can_name_the_database(url: str, name: str | None) -> None:
    assert database_of(url) == name


def test_invalid_mongodb_url_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid MongoDB URL"):
        is_local("http://127.0.0.1")


def listing(*calls: JSON) -> Starlette:
    remaining = list(calls)

    async def show(request: Request) -> Response:
        return JSONResponse(remaining)

    async def clear(request: Request) -> Response:
        remaining.clear()
        return Response(status_code=204)

    async def text(request: Request) -> Response:
        return PlainTextResponse("none")

    async def thing(request: Request) -> Response:
        return JSONResponse({})

    routes = [Route("/calls", show), Route("/calls", clear, methods=["DELETE"])]
    return Starlette(routes=[*routes, Route("/text", text), Route("/thing", thing)])


async def test_calls_are_read_and_cleared() -> None:
    async with serving(listing({"path": "/x"})) as port, OutsideCalls(f"http://127.0.0.1:{port}/calls") as calls:
        assert await calls.read() == [{"path": "/x"}]
        await calls.clear()
        assert await calls.read() == []


async def test_calls_are_read_over_a_new_connection() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
        await reader.read(1)  # of a second request, which is not answered

    async with scripted(answer) as port, OutsideCalls(f"http://127.0.0.1:{port}/calls") as calls:
        assert [await calls.read() for _ in range(3)] == [[], [], []]


@pytest.mark.parametrize(("path", "expected"), [("text", "not JSON"), ("thing", "a list"), ("none", "404")])
async def test_invalid_list_of_calls_is_reported(path: str, expected: str) -> None:
    async with serving(listing()) as port, OutsideCalls(f"http://127.0.0.1:{port}/{path}") as calls:
        with pytest.raises(SideEffectsError, match=expected):
            await calls.read()


async def test_unreachable_calls_url_is_reported() -> None:
    async with OutsideCalls("http://127.0.0.1:1/") as calls:
        with pytest.raises(SideEffectsError, match=r"127\.0\.0\.1:1"):
            await calls.clear()
