"""Dry runs: requests answered as usual whose writes are reverted.

The server of this app may announce one in a request's scope:

    scope["extensions"]["proxy.dry_run"] = {"deadline": seconds, "report": callable}

All writes of the request are reverted before its answer is sent, and the model and the terminology server are not
called (the app for dry runs has offline ones). Immediately before the answer `report` receives the writes, in order,
as JSON:

    {"collection": "notes", "operation": "insert", "document": {…}}
    {"collection": "notes", "operation": "update", "filter": {…}, "update": {…}}
    {"collection": "notes", "operation": "delete", "filter": {…}}

in MongoDB's relaxed extended JSON. If no dry run is possible, it receives None and the answer is empty: MongoDB has
no transactions, or the request is not part of the legacy dialect. Instead of an answer, the app raises `TimeoutError`
once the deadline has passed or if MongoDB does not answer an operation, and `UnavailableError` if MongoDB is
unreachable.

A WebSocket of the legacy dialect can be a dry run as well. It has no access to MongoDB. The extension says how the
legacy's model answered (`handlers/legacy/recorded_model.py`):

    "served": [{"after": 3, "message": "…"}, …]     the legacy's messages, each after so many of the client's
    "sent": ["…", …]                                the client's messages
    "until": async callable                         waits until the client has sent so many messages

The app declares the extension in its lifespan's state: `state["proxy.dry_run"]` and `state["proxy.dry_run.websocket"]`
are True.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NotRequired, TypedDict, cast

from bson import json_util
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handlers.storage.errors import NoTransactionsError
from handlers.storage.store import Store
from handlers.storage.transactions import Write

EXTENSION: Final = "proxy.dry_run"
DECLARATION: Final[Mapping[str, bool]] = {EXTENSION: True, f"{EXTENSION}.websocket": True}

_NOT_IMPLEMENTED: Final = 501


class ServedMessage(TypedDict):
    """A message of the legacy, and the number of client messages that preceded it."""

    after: int
    message: str | bytes


class DryRunRequest(TypedDict):
    """The extension's value in the scope. `deadline`: seconds from now. The others: for a WebSocket."""

    deadline: float
    report: Callable[[Sequence[Mapping[str, Any]] | None], None]
    served: NotRequired[Sequence[ServedMessage]]
    sent: NotRequired[Sequence[str | bytes]]
    until: NotRequired[Callable[[int], Awaitable[None]]]


def dry_run_of(scope: Scope) -> DryRunRequest | None:
    """Return the dry run that a scope announces."""
    return cast("DryRunRequest | None", (scope.get("extensions") or {}).get(EXTENSION))


def is_conversation(scope: Scope) -> bool:
    """Return whether a dry run is that of a WebSocket, with the legacy's messages."""
    request = dry_run_of(scope)
    return scope["type"] == "websocket" and request is not None and {"served", "sent", "until"} <= request.keys()


class DryRunMiddleware:
    """Answers the dry runs that `accepts` admits, with an app that has access to `store` only."""

    def __init__(self, app: ASGIApp, store: Store, accepts: Callable[[Scope], bool]) -> None:
        self._app = app
        self._store = store
        self._accepts = accepts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one dry run; raises `TimeoutError` or `UnavailableError`."""
        request = dry_run_of(scope)
        assert request is not None, "the scope announces no dry run"
        try:
            if not self._accepts(scope):
                raise NoTransactionsError
            answer, writes = await self._dry_run(request["deadline"], scope, receive)
        except NoTransactionsError:
            request["report"](None)
            await _decline(scope, send)
            return
        request["report"]([_as_json(write) for write in writes])
        for message in answer:
            await send(message)

    async def _dry_run(
        self, seconds: float, scope: Scope, receive: Receive
    ) -> tuple[Sequence[Message], Sequence[Write]]:
        """Return the answer and the writes after the transaction has been aborted."""
        answer: list[Message] = []

        async def collect(message: Message) -> None:
            answer.append(message)

        async with asyncio.timeout(seconds), self._store.dry_run(seconds) as transaction:
            await self._app(scope, receive, collect)
        if transaction.outcome_unknown:
            raise TimeoutError("MongoDB did not answer in time")
        return answer, transaction.writes


def _as_json(write: Write) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(json_util.dumps(write.fields, json_options=json_util.RELAXED_JSON_OPTIONS))
    return {"collection": write.collection, "operation": write.operation, **fields}


async def _decline(scope: Scope, send: Send) -> None:
    if scope["type"] != "http":
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": _NOT_IMPLEMENTED, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
