"""Dry runs: a request answered as ever, of which nothing is left behind.

Whoever serves this app may announce one in a request's scope:

    scope["extensions"]["proxy.dry_run"] = {"deadline": seconds, "report": callable}

All that the request writes is then undone before the answer is given, and the model and the terminology server
are not asked (the app for dry runs is made without them). Just before the answer `report` is called with
what would have been written, in order, as JSON:

    {"collection": "notes", "operation": "insert", "document": {…}}
    {"collection": "notes", "operation": "update", "filter": {…}, "update": {…}}
    {"collection": "notes", "operation": "delete", "filter": {…}}

in MongoDB's relaxed extended JSON; or with None, before an empty answer, where no dry run is possible:
MongoDB has no transactions, or the request is none of the dialect's. There is no answer at all, but a
`TimeoutError`, once the deadline has passed or where MongoDB leaves an operation unanswered, and an
`UnavailableError` where there is no MongoDB.

An app that can do this declares it in its lifespan's state: `state["proxy.dry_run"]` is True.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypedDict, cast

from bson import json_util
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handlers.storage.errors import NoTransactionsError
from handlers.storage.store import Store
from handlers.storage.transactions import Write

EXTENSION: Final = "proxy.dry_run"
DECLARATION: Final[Mapping[str, bool]] = {EXTENSION: True}

_NOT_IMPLEMENTED: Final = 501


class Announcement(TypedDict):
    """What stands in the scope; `deadline` in seconds from now."""

    deadline: float
    report: Callable[[Sequence[Mapping[str, Any]] | None], None]


def announced(scope: Scope) -> Announcement | None:
    """The dry run that a scope announces."""
    return cast("Announcement | None", (scope.get("extensions") or {}).get(EXTENSION))


class DryRunMiddleware:
    """Answers announced dry runs of what `takes` lets in, by an app that works on `store` and asks nobody else."""

    def __init__(self, app: ASGIApp, store: Store, takes: Callable[[Scope], bool]) -> None:
        self._app = app
        self._store = store
        self._takes = takes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one; raises `TimeoutError` or `UnavailableError`."""
        announcement = announced(scope)
        assert announcement is not None, "nobody has announced a dry run"
        try:
            if not self._takes(scope):
                raise NoTransactionsError
            answer, writes = await self._dry_run(announcement["deadline"], scope, receive)
        except NoTransactionsError:
            announcement["report"](None)
            await _decline(scope, send)
            return
        announcement["report"]([_told(write) for write in writes])
        for message in answer:
            await send(message)

    async def _dry_run(
        self, seconds: float, scope: Scope, receive: Receive
    ) -> tuple[Sequence[Message], Sequence[Write]]:
        """The answer and the writes, once the transaction is no more."""
        answer: list[Message] = []

        async def hold(message: Message) -> None:
            answer.append(message)

        async with asyncio.timeout(seconds), self._store.dry_run(seconds) as transaction:
            await self._app(scope, receive, hold)
        if transaction.outcome_unknown:
            raise TimeoutError("MongoDB did not answer in time")
        return answer, transaction.writes


def _told(write: Write) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(json_util.dumps(write.fields, json_options=json_util.RELAXED_JSON_OPTIONS))
    return {"collection": write.collection, "operation": write.operation, **fields}


async def _decline(scope: Scope, send: Send) -> None:
    if scope["type"] != "http":
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": _NOT_IMPLEMENTED, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
