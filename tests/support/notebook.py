"""A small service for recordings: it generates ids, dates, tokens and documents, and has selectable faults."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import jwt
from bson import ObjectId, json_util
from pymongo import AsyncMongoClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from proxy.recordings.model import RecordedRequest as Asked
from proxy.recordings.model import scenario
from proxy.recordings.raw_http import Origin, exchange
from proxy.types import JSON
from tests.support.waiting import HANG_TIMEOUT

SECRET = "thirty-two bytes or more of secret"
DATABASE = f"test_notebook_{os.getpid()}"
Database = AsyncMongoClient[dict[str, Any]]
Fetch = Callable[[list[Any]], dict[str, JSON]]


class Notebook:
    """The service; `fault` names its difference from the recorded one."""

    def __init__(self, client: Database, fault: str = "", database: str = DATABASE) -> None:
        self._notes, self._fault = client[database].notes, fault
        self.calls: list[JSON] = []
        self._logins = 0
        self._first: datetime | None = None
        self.app = Starlette(
            routes=[
                Route("/", lambda request: PlainTextResponse("up")),
                Route("/login", self._login, methods=["POST"]),
                Route("/notes", self._add, methods=["POST"]),
                Route("/notes/{id}", self._show),
                Route("/calls", self._list_calls),
                Route("/calls", self._clear_calls, methods=["DELETE"]),
                WebSocketRoute("/talk", self._talk),
            ]
        )

    async def _login(self, request: Request) -> Response:
        now = int(datetime.now(UTC).timestamp())
        self._logins += 1
        lasts = 60 if self._fault == "short token" else 3600
        name = (await request.json())["name"]
        return JSONResponse({"token": jwt.encode({"name": name, "iat": now, "exp": now + lasts}, SECRET)})

    async def _add(self, request: Request) -> Response:
        claims = jwt.decode(request.headers["authorization"].split(" ")[1], SECRET, ["HS256"])
        note: dict[str, Any] = {"_id": ObjectId(), "by": claims["name"], "body": (await request.json())["body"]}
        note["at"] = self._time_of_note()
        self.calls.append({"method": "POST", "path": "/model", "body": json.dumps({"say": note["body"]})})
        if self._fault == "late write" and note["body"] == "second":
            asyncio.get_running_loop().call_later(0.05, self._store_later, note)
        else:
            await self._store(note)
        return _answer(note, 200 if self._fault == "status" else 201)

    def _store_later(self, note: dict[str, Any]) -> None:
        self._storing = asyncio.ensure_future(self._store(note))

    async def _store(self, note: dict[str, Any]) -> None:
        extra = {"draft": True} if self._fault == "extra field" else {}
        if self._fault != "forgets":
            await self._notes.insert_one({**note, **extra})

    def _time_of_note(self) -> datetime:
        """Return the current time; with a fault, that of the first note, always or until the second login."""
        now = datetime.now(UTC)
        self._first = self._first or now
        is_first = self._fault == "one date" or (self._fault == "one date once" and self._logins == 1)
        return self._first if is_first else now

    async def _show(self, request: Request) -> Response:
        document = await self._notes.find_one({"_id": ObjectId(request.path_params["id"])})
        if document is None:
            return PlainTextResponse(f"no {request.path_params['id']}", 404)
        if self._fault == "another id":
            document["_id"] = ObjectId()
        return _answer(document)

    async def _list_calls(self, request: Request) -> Response:
        return JSONResponse(self.calls)

    async def _clear_calls(self, request: Request) -> Response:
        self.calls.clear()
        return Response(status_code=204)

    async def _talk(self, socket: WebSocket) -> None:
        if self._fault == "refuses":
            await socket.close()
            return
        await socket.accept()
        await socket.send_json({"hello": str(ObjectId())})
        async for frame in socket.iter_json():
            await socket.send_json({"said": "?" if self._fault == "mishears" else frame})


def _answer(note: dict[str, Any], status: int = 200) -> Response:
    at = note["at"].strftime("%Y-%m-%dT%H:%M:%S.") + f"{note['at'].microsecond // 1000:03d}Z"
    body = json.dumps({**note, "_id": str(note["_id"]), "at": at}, separators=(",", ":")).encode()
    digest = hashlib.sha256(body).hexdigest()[:8]
    return Response(body, status, {"etag": f'W/"{len(body):x}-{digest}"'}, "application/json")


async def record(port: int, client: Database, fetches: list[Fetch]) -> dict[str, JSON]:
    """Record a scenario of the service on `port`; each request may use the answers (JSON or text) before it."""
    await client.drop_database(DATABASE)
    answers: list[Any] = []
    steps: list[JSON] = []
    for number, fetch in enumerate(fetches):
        request = fetch(answers)
        step: dict[str, JSON] = {"name": str(number), "request": request, "outcome": "hang"}
        sent = scenario({"scenario": "", "steps": [step]}).steps[0].request
        answer = await exchange(Origin("127.0.0.1", port), sent, HANG_TIMEOUT)
        answers.append(json.loads(answer.text) if answer.text.startswith("{") else answer.text)
        response: JSON = {"status": answer.status, "headers": dict(answer.headers), "text": answer.text}
        steps.append({**step, "outcome": answer.outcome, "response": response})
    stored = json.loads(json_util.dumps(await client[DATABASE].notes.find().to_list()))
    calls = json.loads((await exchange(Origin("127.0.0.1", port), Asked("GET", "/calls"), HANG_TIMEOUT)).text)
    return {"scenario": "notes", "steps": steps, "store": {"notes": stored}, "calls": calls}


def a_days_work() -> list[Fetch]:
    """Return the requests of a scenario: log in, write two notes, read the first and an absent one."""

    def write(body: str) -> Fetch:
        return lambda answers: {
            "method": "POST",
            "path": "/notes",
            "headers": {"authorization": f"Bearer {answers[0]['token']}"},
            "json": {"body": body},
        }

    return [
        lambda answers: {"method": "POST", "path": "/login", "json": {"name": "amara"}},
        write("first"),
        write("second"),
        lambda answers: {"method": "GET", "path": f"/notes/{answers[1]['_id']}"},
        lambda answers: {"method": "GET", "path": "/notes/64b7f0f0f0f0f0f0f0f0f0f0"},
    ]
