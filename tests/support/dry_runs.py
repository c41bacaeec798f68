"""Dry runs on the native app in this process, and the complete state of a database, which they must not change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from starlette.types import ASGIApp, Message, Scope

from handlers.storage.transaction_reaper import Reaper
from proxy.recordings.model import RecordedRequest

UNTOLD: Any = object()


class NoProcesses(Reaper):
    """A reaper whose process cannot be started."""

    def watch(self, session: Mapping[str, Any], deadline: float) -> None:
        raise OSError("no more processes")


@dataclass
class DryRunAnswer:
    """The answer and the reported writes: `UNTOLD` if nothing was reported."""

    status: int
    body: bytes
    writes: Any
    reported_first: bool

    def read(self) -> Any:
        return json.loads(self.body)

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """Return collection and operation of each write, in order."""
        return [(write["operation"], write["collection"]) for write in self.writes]


async def dry_run(app: ASGIApp, request: RecordedRequest, deadline: float = 10.0) -> DryRunAnswer:
    """Run a request dry. Raises the app's errors."""
    reports: list[tuple[Sequence[Mapping[str, Any]] | None, int]] = []
    sent: list[Message] = []
    unread: list[Message] = [{"type": "http.request", "body": request.body}]

    async def receive() -> Message:
        if not unread:
            await asyncio.Event().wait()
        return unread.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    announcement = {"deadline": deadline, "report": lambda writes: reports.append((writes, len(sent)))}
    try:
        await app(scope_of(request, {"proxy.dry_run": announcement}), receive, send)
    except BaseException:
        assert (reports, sent) == ([], [])
        raise
    assert len(reports) < 2
    writes, before = reports[0] if reports else (UNTOLD, 1)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return DryRunAnswer(sent[0]["status"], body, writes, before == 0)


def scope_of(request: RecordedRequest, extensions: Mapping[str, object]) -> Scope:
    """Return the scope of a request with extensions."""
    path, _, query = request.target.partition("?")
    headers = [(name.encode(), value.encode()) for name, value in request.headers]
    if request.body:
        headers.append((b"content-length", str(len(request.body)).encode()))
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "extensions": dict(extensions),
    }


def whole(database: Database[dict[str, Any]]) -> object:
    """Return the state of a database: MongoDB's hashes, all documents as stored, collections and indexes."""
    hashes = database.command("dbHash")
    raw = database.with_options(database.codec_options.with_options(document_class=RawBSONDocument))
    return (
        hashes["md5"],
        sorted(hashes["collections"].items()),
        {name: [document.raw for document in raw[name].find().sort("$natural", 1)] for name in hashes["collections"]},
        sorted((collection["name"], str(collection)) for collection in database.list_collections()),
        {name: str(database[name].index_information()) for name in hashes["collections"]},
    )
