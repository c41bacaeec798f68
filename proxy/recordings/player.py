"""Play recordings against a service and compare, step by step, what it does with what was recorded.

Played one after the other, since all share a database: each scenario begins on an empty one, every request waits
for its answer, and what earlier answers brought (ids, tokens, dates) is put where the recorded ones stand in
later requests.
"""

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from proxy.comparison.correspondence import Correspondence, TextDifference
from proxy.contract.divergences import Divergence, Occurrence, explain
from proxy.recordings.answers import IGNORED_HEADERS, compare_answers
from proxy.recordings.compare_side_effects import compare_calls, compare_documents
from proxy.recordings.model import (
    OPEN,
    Outcome,
    RecordedAnswer,
    RecordedConnection,
    RecordedConversation,
    RecordedRequest,
    Recordings,
    Scenario,
    Step,
)
from proxy.recordings.raw_http import Origin, exchange, reach
from proxy.recordings.report import CALLS, STORE, Endpoints, Report, Result, operation
from proxy.recordings.side_effects import OutsideCalls, StoredDocuments
from proxy.recordings.websocket_player import HandshakeRefused, PlaybackPace, converse, shake_hands
from proxy.types import JSON

_RETURN = 15.0
_FAULTS = (502, 503, 504)
_PROBE = RecordedRequest("GET", "/")
_PAUSE = 0.05
_SETTLE_DELAY = 0.2
_PACE_FACTORS = (0.6, 1.6, 0.4, 2.5, 4.0, 6.0, 1.0)

T = TypeVar("T")
Notice = Callable[[Result], None]


class ServiceUnreachable(Exception):
    """The service accepts no connections, or did not come back within 15 s."""


@dataclass(frozen=True)
class PlayerSettings:
    """How to play and what to let pass.

    `hang_after` s without an answer are a hang. `accepted` gives, for a recorded hang or reset, the status that
    may stand in its place, as a gateway's 504 does for a hang.
    """

    hang_after: float = 3.0
    accepted: Mapping[Outcome, int] = field(default_factory=dict)
    divergences: tuple[Divergence, ...] = ()
    ignored_headers: Collection[str] = IGNORED_HEADERS
    pace: PlaybackPace = field(default_factory=PlaybackPace)


class Player:
    """Plays recordings against one service; documents and outside calls are compared where they can be reached."""

    def __init__(
        self,
        base_url: str,
        terms: PlayerSettings | None = None,
        documents: StoredDocuments | None = None,
        calls: OutsideCalls | None = None,
    ) -> None:
        self._origin = Origin.parse(base_url)
        self._terms = terms or PlayerSettings()
        self._documents = documents
        self._calls = calls
        self._endpoints = Endpoints()

    async def play(self, recordings: Recordings, notice: Notice = lambda result: None) -> Report:
        """Everything in the recorded order; `notice` hears of each result at once.

        Raises Unreachable, and AftermathError where the database or the list of calls cannot be reached.
        """
        await self._reach()
        self._endpoints = Endpoints.learn(recordings)
        results: list[Result] = []

        def keep(result: Result) -> None:
            results.append(result)
            notice(result)

        begun = time.monotonic()
        for scenario in recordings.scenarios:
            await self.play_scenario(scenario, keep)
        for conversation in recordings.conversations:
            keep(await self.play_conversation(conversation))
        for connection in recordings.connections:
            keep(await self.try_connection(connection))
        return Report(tuple(results), time.monotonic() - begun, self._unseen(results))

    async def play_scenario(self, scenario: Scenario, notice: Notice) -> None:
        """One scenario from an empty database to what it leaves behind."""
        if self._documents:
            await self._documents.reset(scenario.before)
        if self._calls:
            await self._calls.clear()
        names = Correspondence(scenario.moment, _now())
        for step in scenario.steps:
            names.step += 1
            notice(await self._play_step(scenario, step, names))
        names.step += 1
        for result in await self._compare_traces(scenario, names):
            notice(result)

    async def play_conversation(self, conversation: RecordedConversation) -> Result:
        """One WebSocket conversation, its frames in the order in which they came.

        In which order frames come depends on how fast outside services are in comparison with the pace, and how
        fast they were is not recorded: a conversation that differs is held again faster and slower before that
        counts.
        """
        first = await self._play_conversation(conversation, self._terms.pace)
        if first.verdict != "differing":
            return first
        for tempo in _PACE_FACTORS:
            pace = replace(self._terms.pace, between=self._terms.pace.between * tempo)
            again = await self._play_conversation(conversation, pace)
            if again.verdict != "differing":
                return again
        return first

    async def _play_conversation(self, conversation: RecordedConversation, pace: PlaybackPace) -> Result:
        target, names = conversation.target, Correspondence(conversation.moment, _now())
        expected = len(conversation.received)
        try:
            received = await self._connected(lambda: converse(self._origin, target, conversation.sent, expected, pace))
            found = names.compare(list(conversation.received), received, "frames")
        except HandshakeRefused as refusal:
            found = [TextDifference("connection", "outcome", OPEN, str(refusal))]
        result = Result("conversation", conversation.name, "", f"WS {target}", target)
        return self._judge(result, found, Occurrence(operation("WS", target), conversation.name))

    async def try_connection(self, connection: RecordedConnection) -> Result:
        """One handshake, which may be refused."""
        target = connection.target
        how = await self._connected(lambda: shake_hands(self._origin, target, self._terms.hang_after))
        found = [] if how == connection.result else [TextDifference("connection", "outcome", connection.result, how)]
        result = Result("connection", "connect", target, operation("WS", target), target)
        return self._judge(result, found, Occurrence(operation("WS", target), "connect"))

    async def _play_step(self, scenario: Scenario, step: Step, names: Correspondence) -> Result:
        recorded, request = step.answer, _brought_up_to_date(step.request, names)
        live = await self._connected(lambda: exchange(self._origin, request, self._terms.hang_after))
        if "reset" in (recorded.outcome, live.outcome):
            await self._await_return()
        found = [] if self._stands_for(recorded, live) else self._compare(recorded, live, names)
        method, target = step.request.method, step.request.target
        result = Result("step", scenario.name, step.name, self._endpoints.name(method, target), target)
        occurrence = Occurrence(operation(method, target), scenario.name, (request, recorded, live))
        return self._judge(result, found, occurrence)

    def _compare(self, recorded: RecordedAnswer, live: RecordedAnswer, names: Correspondence) -> list[TextDifference]:
        return compare_answers(recorded, live, names, self._terms.ignored_headers)

    def _stands_for(self, recorded: RecordedAnswer, live: RecordedAnswer) -> bool:
        accepted = self._terms.accepted.get(recorded.outcome)
        return accepted is not None and live.outcome == "response" and live.status == accepted

    async def _compare_traces(self, scenario: Scenario, names: Correspondence) -> list[Result]:
        """A late write is given a moment before it counts as missing."""
        results = await self._traces(scenario, copy.deepcopy(names))
        if any(result.differences for result in results):
            await asyncio.sleep(_SETTLE_DELAY)
            results = await self._traces(scenario, names)
        return results

    async def _traces(self, scenario: Scenario, names: Correspondence) -> list[Result]:
        results: list[Result] = []
        if self._documents:
            results.append(self._judge_store(scenario, await self._documents.read(), names))
        if self._calls:
            result = Result("calls", scenario.name, "", CALLS)
            found = compare_calls(scenario.calls, await self._calls.read(), names)
            results.append(self._judge(result, found, Occurrence("CALLS", scenario.name)))
        return results

    def _judge_store(self, scenario: Scenario, stored: Mapping[str, list[JSON]], names: Correspondence) -> Result:
        """One result for all collections, each of which divergences know by its own operation."""
        whole = Result("store", scenario.name, "", STORE)
        for collection in [*scenario.store, *(name for name in stored if name not in scenario.store)]:
            recorded, live = scenario.store.get(collection, ()), stored.get(collection, ())
            found = compare_documents(collection, recorded, live, names)
            occurrence = Occurrence(f"STORE {collection}", scenario.name)
            whole = self._judge(whole, found, occurrence)
        return whole

    def _judge(self, result: Result, found: list[TextDifference], occurrence: Occurrence) -> Result:
        """The result with differences added, and those that divergences account for."""
        explanation = explain(self._terms.divergences, occurrence, found)
        return replace(
            result,
            differences=(*result.differences, *found),
            declared=tuple(sorted({*result.declared, *explanation.declared})),
            unexplained=(*result.unexplained, *explanation.unexplained),
        )

    def _unseen(self, results: list[Result]) -> tuple[str, ...]:
        seen = {name for result in results for name in result.declared}
        return tuple(one.id for one in self._terms.divergences if one.id not in seen)

    async def _reach(self) -> None:
        try:
            await reach(self._origin, self._terms.hang_after)
        except OSError as error:
            raise ServiceUnreachable(f"{self._origin.authority}: {error or 'no connection in time'}") from error

    async def _connected(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Only the connecting is tried again: nothing has been sent when it fails."""
        deadline = time.monotonic() + _RETURN
        while True:
            try:
                return await attempt()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ServiceUnreachable(f"{self._origin.authority}: {error}") from error
            await asyncio.sleep(_PAUSE)

    async def _await_return(self) -> None:
        """After a reset the service may be starting again; a gateway before it says so with its own faults."""
        deadline = time.monotonic() + _RETURN
        while True:
            answer = await self._connected(lambda: exchange(self._origin, _PROBE, self._terms.hang_after))
            if answer.outcome == "response" and answer.status not in _FAULTS:
                return
            if time.monotonic() > deadline:
                raise ServiceUnreachable(f"{self._origin.authority}: not back within {_RETURN:.0f} s of a reset")
            await asyncio.sleep(_PAUSE)


def _brought_up_to_date(request: RecordedRequest, names: Correspondence) -> RecordedRequest:
    """The request with what the live side has in place of what was recorded."""
    headers = tuple((name, names.live_text(value)) for name, value in request.headers)
    return replace(request, target=names.live_text(request.target), headers=headers, body=_renewed(request.body, names))


def _renewed(body: bytes | None, names: Correspondence) -> bytes | None:
    if not body:
        return body
    return names.live_text(body.decode("latin-1")).encode("latin-1")


def _now() -> int:
    return time.time_ns() // 1_000_000
