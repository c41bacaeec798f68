"""Run one sequence of requests on two backends: record it on legacy, then play it to the native app and compare.

    async with Differential.between(legacy, native, settings) as differential:
        execution = await differential.run(documents, requests)

If their databases are named, both backends start from the same documents. The comparison is that of `scribe-proxy
verify`, so that an execution is also the recording that reproduces it.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

from proxy.comparison.answers import DecodedAnswer
from proxy.fuzz.conversation_differential import ConversationDifferential, ConversationEnd
from proxy.fuzz.execution import ABOUT, Documents, Execution, name_of
from proxy.fuzz.options import FuzzBackend
from proxy.fuzz.requests import FuzzRequest, LearnedValues
from proxy.recordings.clock import RecordedClock
from proxy.recordings.model import Scenario, Step
from proxy.recordings.player import Player, PlayerSettings
from proxy.recordings.raw_http import Origin
from proxy.recordings.report import Result
from proxy.recordings.service_client import ServiceClient
from proxy.recordings.side_effects import OutsideCalls, StoredDocuments, open_side_effects


class Differential:
    """Two backends and the state of the current execution; `conversations` plays WebSockets to the same two."""

    def __init__(
        self,
        client: ServiceClient,
        player: Player,
        repeater: Player,
        documents: StoredDocuments | None,
        calls: OutsideCalls | None,
        conversations: ConversationDifferential,
        repeats: int,
    ) -> None:
        self.conversations = conversations
        self._client = client
        self._player = player
        self._repeater = repeater
        self._documents = documents
        self._calls = calls
        self._repeats = repeats
        self._before: Documents = {}
        self._learned = LearnedValues()
        self._steps: list[Step] = []
        self._answer_time = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def between(
        cls, legacy: FuzzBackend, native: FuzzBackend, settings: PlayerSettings, *, hang_after: float = 1.5
    ) -> AsyncIterator[Differential]:
        """Connect to two running backends; `hang_after` is the timeout for an answer of legacy in seconds.

        Raises `ServiceUnreachable` if one of them accepts no connections.
        """
        client = ServiceClient(legacy.url, hang_after)
        for service in (client, ServiceClient(native.url, hang_after)):
            await service.reach()
        async with contextlib.AsyncExitStack() as stack:
            documents, calls = await stack.enter_async_context(_side_effects(legacy))
            own_effects = await stack.enter_async_context(_side_effects(native))
            player = Player(native.url, settings, *own_effects)
            repeater = Player(legacy.url, replace(settings, divergences=(), plays=1), documents, calls)
            ends = ConversationEnd(client.origin, calls), ConversationEnd(Origin.parse(native.url), own_effects[1])
            conversations = ConversationDifferential(*ends, settings.divergences)
            repeats = settings.plays if settings.strict else 1
            yield cls(client, player, repeater, documents, calls, conversations, repeats)

    async def run(self, before: Documents, requests: Sequence[FuzzRequest]) -> Execution:
        """Send requests to legacy, then to the native app, both starting from the same documents."""
        await self.begin(before)
        for request in requests:
            await self.send(request)
        return await self.finish()

    async def begin(self, before: Documents) -> None:
        """Reset the legacy's documents and outside calls for a new execution."""
        self._before, self._learned, self._steps, self._answer_time = before, LearnedValues(), [], 0
        self._learned.learn_documents({name: list(several) for name, several in before.items()})
        if self._documents:
            await self._documents.reset(before)
        if self._calls:
            await self._calls.clear()

    async def send(self, request: FuzzRequest) -> DecodedAnswer:
        """Send the next request to legacy, with values of earlier answers in its placeholders."""
        sent = self._learned.fill(request)
        began = time.monotonic()
        answer = await self._client.send(sent)
        self._answer_time = max(self._answer_time, int((time.monotonic() - began) * 1000))
        if answer.outcome == "reset":
            await self._client.await_restart()
        self._learned.learn(answer)
        self._steps.append(Step(f"step {len(self._steps)}", sent, answer))
        return answer

    async def finish(self) -> Execution:
        """Play the requests to the native app, and compare answers, documents and outside calls."""
        scenario = Scenario(
            name=name_of(self._steps),
            steps=tuple(self._steps),
            store=await self._documents.read() if self._documents else {},
            calls=await self._calls.read() if self._calls else [],
            before=self._before,
            clock=RecordedClock(time.time_ns() // 1_000_000),
            about=ABOUT,
            answer_time=self._answer_time,
        )
        results: list[Result] = []
        await self._player.play_scenario(scenario, results.append)
        return Execution(scenario, tuple(results))

    async def confirm(self, execution: Execution) -> Execution | None:
        """Play an execution again; return native's new results, or None if legacy does not repeat its answers.

        In a strict comparison, legacy repeats them several times: a clock that advanced between two of its dates does
        not do so each time. Without a database, an execution cannot be repeated from the same state and is returned
        unchanged.
        """
        if self._documents is None:
            return execution
        for _ in range(self._repeats):
            repeated: list[Result] = []
            await self._repeater.play_scenario(execution.scenario, repeated.append)
            if any(result.differences for result in repeated):
                return None
        results: list[Result] = []
        await self._player.play_scenario(execution.scenario, results.append)
        return Execution(execution.scenario, tuple(results))


def write_execution(execution: Execution, directory: Path) -> Path:
    """Write an execution as a recording for `scribe-proxy verify --recordings`, with a text that describes it."""
    directory.mkdir(parents=True, exist_ok=True)
    if execution.conversation is None:
        (directory / "http.json").write_text(json.dumps([execution.as_recording()], indent=1))
    elif (conversation := execution.as_conversation()) is not None:
        (directory / "ws.json").write_text(json.dumps([conversation], indent=1))
    (directory / "account.txt").write_text(execution.describe(), errors="backslashreplace")
    return directory


def _side_effects(
    backend: FuzzBackend,
) -> contextlib.AbstractAsyncContextManager[tuple[StoredDocuments | None, OutsideCalls | None]]:
    return open_side_effects(backend.mongodb_url, backend.database, backend.calls_url)
