"""Requests that run at the same time on both backends, in an order that a relay to their databases forces.

A request has two parts: it reads until its first write to the database, then it writes and answers. An order of these
parts is the same on both sides, whatever their speed, so that their answers and documents can be compared.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

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
from tests.differential.runner import declared_divergences
from tests.support.mongodb_relay import Command, Relay, StoppedCommand
from tests.support.waiting import HANG_TIMEOUT

WRITES: Final = frozenset({"insert", "update", "delete", "findAndModify"})
HANG_AFTER: Final = 40.0
"""Seconds without an answer that count as never: more than a stopped request waits for the others."""
PART_TIMEOUT: Final = 8.0
"""Seconds that the others wait for a part of a request, which the legacy may never answer."""


@dataclass(frozen=True)
class Interleaving:
    """Requests, and the order of their parts: the number of each request comes twice, for its reads and its writes."""

    before: Documents
    actions: tuple[Action, ...]
    order: tuple[int, ...]

    def describe(self) -> str:
        """Return the order in words."""
        begun: set[int] = set()
        parts = []
        for number in self.order:
            parts.append(f"step {number} {'writes' if number in begun else 'reads'}")
            begun.add(number)
        return ", ".join(parts)


class InterleavedClient(ServiceClient):
    """A client that sends the requests of an interleaving when it is asked for the first answer."""

    def __init__(self, backend: FuzzBackend, relay: Relay) -> None:
        super().__init__(backend.url, HANG_AFTER)
        self._single = ServiceClient(backend.url, HANG_AFTER)
        self._database = backend.database
        self._relay = relay
        self._requests: Sequence[RecordedRequest] = ()
        self._order: Sequence[int] = ()
        self._answers: list[DecodedAnswer] = []

    def begin(self, requests: Sequence[RecordedRequest], order: Sequence[int]) -> None:
        """Set the requests of the next answers."""
        self._requests, self._order, self._answers = requests, order, []

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
        stopped: dict[int, StoppedCommand] = {}
        for number in self._order:
            if number in sent:
                await self._finish(sent[number], stopped.pop(number, None))
                continue
            reached = self._relay.stop(self._is_write)
            sent[number] = asyncio.create_task(self._single.send(self._requests[number]))
            either: list[asyncio.Future[Any]] = [sent[number], reached]
            await asyncio.wait(either, timeout=PART_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            await self._relay.pass_all()
            if reached.done():
                stopped[number] = reached.result()
        return [await sent[number] for number in sorted(sent)]

    async def _finish(self, answer: asyncio.Task[DecodedAnswer], stopped: StoppedCommand | None) -> None:
        if stopped is not None:
            stopped.release()
        await asyncio.wait([answer], timeout=PART_TIMEOUT)

    def _is_write(self, command: Command) -> bool:
        return command.name in WRITES and command.database == self._database


class InterleavedDifferential:
    """Runs interleavings on both backends."""

    def __init__(self, differential: Differential, clients: Sequence[InterleavedClient]) -> None:
        self._differential = differential
        self._clients = clients

    async def run(self, interleaving: Interleaving) -> Execution:
        """Send the requests to legacy, then to the native app, both in the same order of their parts."""
        requests = [LearnedValues().fill(action) for action in interleaving.actions]
        for client in self._clients:
            client.begin(requests, interleaving.order)
        return await self._differential.run(interleaving.before, interleaving.actions)


@contextlib.asynccontextmanager
async def interleaved(legacy: FuzzBackend, native: FuzzBackend, relay: Relay) -> AsyncIterator[InterleavedDifferential]:
    """Open two running sides, whose databases are reached through a relay."""
    settings = PlayerSettings(HANG_AFTER, divergences=declared_divergences(), restart_timeout=HANG_TIMEOUT)
    async with contextlib.AsyncExitStack() as stack:
        sent = InterleavedClient(legacy, relay)
        documents, calls = await stack.enter_async_context(_side_effects(legacy))
        repeater = Player(legacy.url, settings, documents, calls, sent)
        played = InterleavedClient(native, relay)
        own_documents, own_calls = await stack.enter_async_context(_side_effects(native))
        player = Player(native.url, settings, own_documents, own_calls, played)
        ends = ConversationEnd(sent.origin, calls), ConversationEnd(played.origin, own_calls)
        conversations = ConversationDifferential(*ends, settings.divergences)
        differential = Differential(sent, player, repeater, documents, calls, conversations)
        yield InterleavedDifferential(differential, (sent, played))


def _side_effects(
    backend: FuzzBackend,
) -> contextlib.AbstractAsyncContextManager[tuple[StoredDocuments | None, OutsideCalls | None]]:
    return open_side_effects(backend.mongodb_url, backend.database, backend.calls_url)
