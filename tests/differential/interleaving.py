"""Requests that run at the same time on both backends, in an order that a relay to their databases forces.

A request has two parts: it reads until its first write to the database, then it writes and answers. If the outside
services' calls are held too, each of them ends a part before. An order of these parts is the same on both sides,
whatever their speed, so that their answers, documents and calls can be compared.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from bson import ObjectId
from pymongo import AsyncMongoClient

from proxy.comparison.answers import DecodedAnswer
from proxy.fuzz.conversation_differential import ConversationDifferential, ConversationEnd
from proxy.fuzz.differential import Differential
from proxy.fuzz.execution import Execution
from proxy.fuzz.options import FuzzBackend
from proxy.fuzz.requests import LearnedValues
from proxy.recordings.model import RecordedRequest
from proxy.recordings.player import Player, PlayerSettings
from proxy.recordings.service_client import ServiceClient
from proxy.recordings.side_effects import OutsideCalls, StoredDocuments, open_side_effects
from tests.differential.actions import Action
from tests.differential.documents import Documents
from tests.differential.held_calls import HeldCalls
from tests.differential.runner import declared_divergences
from tests.support.mongodb_relay import Command, Relay, StoppedCommand
from tests.support.waiting import HANG_TIMEOUT

WRITES: Final = frozenset({"insert", "update", "delete", "findAndModify"})
HANG_AFTER: Final = 40.0
"""Seconds without an answer that count as never: more than a stopped request waits for the others."""
PART_TIMEOUT: Final = 8.0
"""Seconds that the others wait for a part of a request, which the legacy may never answer."""


class _Stopped(Protocol):
    """A write that is not sent, or a call that is not answered, for which a request waits."""

    def release(self) -> None:
        """Let the request run on."""


class Removal(NamedTuple):
    """A document that is removed by another program."""

    collection: str
    identity: str


@dataclass(frozen=True)
class Interleaving:
    """Requests, and the order of their parts: a request's number comes once for each part; further ones have no effect.

    Requests that the order leaves unfinished end after it, one after the other. `holds_calls`: calls of the outside
    services end a part.
    """

    before: Documents
    actions: tuple[Action, ...]
    order: tuple[int | Removal, ...]
    holds_calls: bool = False

    def describe(self) -> str:
        """Return the order in words."""
        begun: set[int | Removal] = set()
        parts = []
        for each in self.order:
            if isinstance(each, Removal):
                parts.append(f"{each.identity} is removed from {each.collection}")
            else:
                parts.append(f"step {each} {'continues' if each in begun else 'begins'}")
            begun.add(each)
        return ", ".join(parts)


class InterleavedClient(ServiceClient):
    """A client that sends the requests of an interleaving when it is asked for the first answer."""

    def __init__(self, backend: FuzzBackend, relay: Relay, calls: HeldCalls) -> None:
        super().__init__(backend.url, HANG_AFTER)
        self._single = ServiceClient(backend.url, HANG_AFTER)
        self._backend = backend
        self._relay = relay
        self._calls = calls
        self._requests: Sequence[RecordedRequest] = ()
        self._interleaving = Interleaving({}, (), ())
        self._answers: list[DecodedAnswer] = []

    def begin(self, requests: Sequence[RecordedRequest], interleaving: Interleaving) -> None:
        """Set the requests of the next answers, and their order."""
        self._requests, self._interleaving, self._answers = requests, interleaving, []

    async def send(self, request: RecordedRequest) -> DecodedAnswer:
        """Return the answer to the next request of the interleaving."""
        if not self._answers:
            self._answers = await self._send_all()
        return self._answers.pop(0)

    async def await_restart(self) -> None:
        """Wait until the service answers after a reset."""
        await self._single.await_restart()

    async def _send_all(self) -> list[DecodedAnswer]:
        sent: dict[int, asyncio.Task[DecodedAnswer]] = {}
        stopped: dict[int, _Stopped] = {}
        for each in self._interleaving.order:
            if isinstance(each, Removal):
                await self._remove(each)
            else:
                await self._continue(each, sent, stopped)
        for number in range(len(self._requests)):
            while number not in sent or number in stopped:
                await self._continue(number, sent, stopped)
        return [await sent[number] for number in sorted(sent)]

    async def _continue(
        self, number: int, sent: dict[int, asyncio.Task[DecodedAnswer]], stopped: dict[int, _Stopped]
    ) -> None:
        """Run the next part of a request: up to its first write, a call, or its answer."""
        waiting = stopped.pop(number, None)
        ends: list[asyncio.Future[Any]] = []
        if number not in sent or not (waiting is None or isinstance(waiting, StoppedCommand)):
            ends.append(self._relay.stop(self._is_write))
            if self._interleaving.holds_calls:
                ends.append(self._calls.stop())
        if number not in sent:
            sent[number] = asyncio.create_task(self._single.send(self._requests[number]))
        if waiting is not None:
            waiting.release()
        await asyncio.wait([sent[number], *ends], timeout=PART_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        self._calls.pass_all()
        await self._relay.pass_all()
        stopped.update((number, end.result()) for end in ends if end.done())

    async def _remove(self, removal: Removal) -> None:
        async with AsyncMongoClient[dict[str, object]](self._backend.mongodb_url) as client:
            collection = client[str(self._backend.database)][removal.collection]
            await collection.delete_one({"_id": ObjectId(removal.identity)})

    def _is_write(self, command: Command) -> bool:
        return command.name in WRITES and command.database == self._backend.database


class InterleavedDifferential:
    """Runs interleavings on both backends."""

    def __init__(self, differential: Differential, clients: Sequence[InterleavedClient]) -> None:
        self._differential = differential
        self._clients = clients

    async def run(self, interleaving: Interleaving) -> Execution:
        """Send the requests to legacy, then to the native app, both in the same order of their parts."""
        requests = [LearnedValues().fill(action) for action in interleaving.actions]
        for client in self._clients:
            client.begin(requests, interleaving)
        return await self._differential.run(interleaving.before, interleaving.actions)


@contextlib.asynccontextmanager
async def interleaved(
    legacy: FuzzBackend, native: FuzzBackend, relay: Relay, calls: Sequence[HeldCalls]
) -> AsyncIterator[InterleavedDifferential]:
    """Open two running sides, whose databases are reached through a relay, and whose outside services are `calls`."""
    settings = PlayerSettings(HANG_AFTER, divergences=declared_divergences(), restart_timeout=HANG_TIMEOUT)
    async with contextlib.AsyncExitStack() as stack:
        sent = InterleavedClient(legacy, relay, calls[0])
        documents, made = await stack.enter_async_context(_side_effects(legacy))
        repeater = Player(legacy.url, settings, documents, made, sent)
        played = InterleavedClient(native, relay, calls[1])
        own_documents, own_calls = await stack.enter_async_context(_side_effects(native))
        player = Player(native.url, settings, own_documents, own_calls, played)
        ends = ConversationEnd(sent.origin, made), ConversationEnd(played.origin, own_calls)
        conversations = ConversationDifferential(*ends, settings.divergences)
        differential = Differential(sent, player, repeater, documents, made, conversations, repeats=1)
        yield InterleavedDifferential(differential, (sent, played))


def _side_effects(
    backend: FuzzBackend,
) -> contextlib.AbstractAsyncContextManager[tuple[StoredDocuments | None, OutsideCalls | None]]:
    return open_side_effects(backend.mongodb_url, backend.database, backend.calls_url)
