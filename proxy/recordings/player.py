"""Play recordings against a service and compare each step with its record.

Scenarios are played one after the other, since all share a database, which is emptied before each. Every request waits
for its answer. The ids, tokens and dates of earlier answers replace the recorded ones in later requests.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.correspondence import STORED, Correspondence
from proxy.comparison.exchange import Outcome
from proxy.comparison.modes import TRANSPORT_HEADERS
from proxy.comparison.spelling import http_date
from proxy.comparison.verdicts import Difference, LocatedValue
from proxy.contract.divergences import Divergence, Occurrence, operation_of
from proxy.recordings.clock import names_since
from proxy.recordings.coincidences import confirm, may_coincide
from proxy.recordings.compare_side_effects import compare_calls, compare_documents
from proxy.recordings.comparing import compare_answers, compare_frames
from proxy.recordings.model import (
    OPEN,
    RecordedConnection,
    RecordedConversation,
    RecordedRequest,
    Recordings,
    Scenario,
    Step,
)
from proxy.recordings.report import CALLS, STORE, Endpoints, Report, Result
from proxy.recordings.service_client import RESTART_TIMEOUT, ServiceClient
from proxy.recordings.side_effects import OutsideCalls, StoredDocuments
from proxy.recordings.websocket_player import HandshakeRefused, PlaybackPace, converse, shake_hands
from proxy.types import JSON

SETTLE_DELAY: Final = 0.2
"""Seconds for writes that a service makes after its answer."""
PACE_FACTORS: Final = (0.6, 1.6, 0.4, 2.5, 4.0, 6.0, 10.0, 16.0, 1.0)
"""Factors of the pace at which a conversation that differs is repeated."""

PLAYS: Final = 5
"""Number of plays, all of which show a difference between dates that counts in a strict comparison."""

OnResult = Callable[[Result], None]


@dataclass(frozen=True)
class PlayerSettings:
    """Settings for playing recordings.

    `hang_after` seconds without an answer are a hang. `accepted` gives, for a recorded hang or reset, the status that
    is accepted in its place, as a gateway's 504 for a hang. `restart_timeout` is in seconds. A conversation that
    differs is repeated at `pace` times each of `pace_factors`.

    `strict` accepts no coincidence: dates that are equal on one side are equal on the other, and documents are stored
    in the same order. The clock may advance between two dates of one request, so a scenario whose dates differ is
    played up to `plays` times, and a difference between dates counts if all plays show it.
    """

    hang_after: float = 3.0
    accepted: Mapping[Outcome, int] = field(default_factory=dict)
    divergences: tuple[Divergence, ...] = ()
    ignored_headers: Collection[str] = TRANSPORT_HEADERS
    pace: PlaybackPace = field(default_factory=PlaybackPace)
    pace_factors: tuple[float, ...] = PACE_FACTORS
    restart_timeout: float = RESTART_TIMEOUT
    strict: bool = False
    plays: int = PLAYS


class Player:
    """Plays recordings against one service; compares documents and outside calls if they can be reached."""

    def __init__(
        self,
        base_url: str,
        settings: PlayerSettings | None = None,
        documents: StoredDocuments | None = None,
        calls: OutsideCalls | None = None,
        client: ServiceClient | None = None,
    ) -> None:
        self._settings = settings or PlayerSettings()
        timeouts = self._settings.hang_after, self._settings.restart_timeout
        self._client = client or ServiceClient(base_url, *timeouts)
        self._documents = documents
        self._calls = calls
        self._endpoints = Endpoints()

    async def play(self, recordings: Recordings, on_result: OnResult = lambda result: None) -> Report:
        """Play everything in the recorded order; call `on_result` with each result immediately.

        Raises:
            ServiceUnreachable: the service accepts no connections.
            SideEffectsError: the database or the list of calls cannot be reached.
        """
        await self._client.reach()
        self._endpoints = Endpoints.learn(recordings)
        results: list[Result] = []

        def add(result: Result) -> None:
            results.append(result)
            on_result(result)

        started = time.monotonic()
        for scenario in recordings.scenarios:
            await self.play_scenario(scenario, add)
        for conversation in recordings.conversations:
            add(await self.play_conversation(conversation))
        for connection in recordings.connections:
            add(await self.try_connection(connection))
        return Report(tuple(results), time.monotonic() - started, self._unseen(results))

    async def play_scenario(self, scenario: Scenario, on_result: OnResult) -> None:
        """Play one scenario from an empty database, and compare its side effects."""
        if not self._settings.strict:
            await self._play_scenario(scenario, on_result)
            return
        results: list[Result] = []
        await self._play_scenario(scenario, results.append)
        for _ in range(self._settings.plays - 1):
            if not any(may_coincide(result) for result in results):
                break
            again: list[Result] = []
            await self._play_scenario(scenario, again.append)
            results = confirm(results, again)
        for result in results:
            on_result(result)

    async def _play_scenario(self, scenario: Scenario, on_result: OnResult) -> None:
        if self._documents:
            await self._documents.reset(scenario.before)
        if self._calls:
            await self._calls.clear()
        names = names_since(scenario.clock)
        names.strict = self._settings.strict
        names.answer_time = scenario.answer_time
        for step in scenario.steps:
            names.step += 1
            on_result(await self._play_step(scenario, step, names))
        names.step = STORED
        for result in await self._compare_side_effects(scenario, names):
            on_result(result)

    async def play_conversation(self, conversation: RecordedConversation) -> Result:
        """Play one WebSocket conversation, and compare its frames in the order in which they came.

        The order of frames depends on the speed of outside services relative to the pace, which is not recorded: a
        conversation that differs is repeated faster and slower before it counts as different.
        """
        first = await self._play_conversation(conversation, self._settings.pace)
        if first.verdict != "differing":
            return first
        for factor in self._settings.pace_factors:
            pace = replace(self._settings.pace, between=self._settings.pace.between * factor)
            again = await self._play_conversation(conversation, pace)
            if again.verdict != "differing":
                return again
        return first

    async def _play_conversation(self, conversation: RecordedConversation, pace: PlaybackPace) -> Result:
        target, names = conversation.target, names_since(conversation.clock)
        names.strict = self._settings.strict
        expected, origin = len(conversation.received), self._client.origin
        try:
            received = await self._client.connect(lambda: converse(origin, target, conversation.sent, expected, pace))
            differences = compare_frames(conversation.received, received, names)
        except HandshakeRefused as refusal:
            differences = _connection_difference(OPEN, str(refusal))
        result = Result("conversation", conversation.name, "", f"WS {target}", target)
        return self._judge(result, differences, Occurrence(operation_of("WS", target), conversation.name))

    async def try_connection(self, connection: RecordedConnection) -> Result:
        """Try one handshake, which may be refused."""
        target, timeout = connection.target, self._settings.hang_after
        outcome = await self._client.connect(lambda: shake_hands(self._client.origin, target, timeout))
        differences = [] if outcome == connection.result else _connection_difference(connection.result, outcome)
        result = Result("connection", "connect", target, operation_of("WS", target), target)
        return self._judge(result, differences, Occurrence(operation_of("WS", target), "connect"))

    async def _play_step(self, scenario: Scenario, step: Step, names: Correspondence) -> Result:
        expected, request = step.answer, _current(step.request, names)
        began = _now()
        actual = await self._client.send(request)
        took = _now() - began
        names.answer_time = max(names.answer_time, took)
        names.native_at = http_date(actual.headers.get("date", "")) or _now()
        names.fresh += took  # what an earlier step made stays fresh
        if "reset" in (expected.outcome, actual.outcome):
            await self._client.await_restart()
        differences = [] if self._is_accepted(expected, actual) else self._compare(expected, actual, names)
        method, target = step.request.method, step.request.target
        result = Result("step", scenario.name, step.name, self._endpoints.name(method, target), target)
        occurrence = Occurrence(operation_of(method, target), scenario.name, (request, expected, actual))
        return self._judge(result, differences, occurrence)

    def _compare(self, expected: DecodedAnswer, actual: DecodedAnswer, names: Correspondence) -> list[Difference]:
        return compare_answers(expected, actual, names, self._settings.ignored_headers)

    def _is_accepted(self, expected: DecodedAnswer, actual: DecodedAnswer) -> bool:
        accepted = self._settings.accepted.get(expected.outcome)
        return accepted is not None and actual.outcome == "response" and actual.status == accepted

    async def _compare_side_effects(self, scenario: Scenario, names: Correspondence) -> list[Result]:
        """Compare side effects; if they differ, compare them once more after `SETTLE_DELAY`."""
        results = await self._side_effects(scenario, copy.deepcopy(names))
        if any(result.differences for result in results):
            await asyncio.sleep(SETTLE_DELAY)
            results = await self._side_effects(scenario, names)
        return results

    async def _side_effects(self, scenario: Scenario, names: Correspondence) -> list[Result]:
        results: list[Result] = []
        if self._documents:
            results.append(self._judge_store(scenario, await self._documents.read(), names))
        if self._calls:
            result = Result("calls", scenario.name, "", CALLS)
            differences = compare_calls(scenario.calls, await self._calls.read(), names)
            results.append(self._judge(result, differences, Occurrence("CALLS", scenario.name)))
        return results

    def _judge_store(self, scenario: Scenario, stored: Mapping[str, list[JSON]], names: Correspondence) -> Result:
        """Return one result for all collections; divergences have an operation for each of them."""
        whole = Result("store", scenario.name, "", STORE)
        for collection in [*scenario.store, *(name for name in stored if name not in scenario.store)]:
            expected = scenario.store.get(collection, ())
            actual = stored.get(collection, ())
            differences = compare_documents(collection, expected, actual, names)
            whole = self._judge(whole, differences, Occurrence(f"STORE {collection}", scenario.name))
        return whole

    def _judge(self, result: Result, differences: Sequence[Difference], occurrence: Occurrence) -> Result:
        return result.judged(differences, occurrence, self._settings.divergences)

    def _unseen(self, results: list[Result]) -> tuple[str, ...]:
        declared = {name for result in results for name in result.declared}
        return tuple(one.id for one in self._settings.divergences if one.id not in declared)


def _connection_difference(expected: str, actual: str) -> list[Difference]:
    path = ("connection",)
    return [Difference(path, "outcome", "breaking", LocatedValue(path, expected), LocatedValue(path, actual))]


def _current(request: RecordedRequest, names: Correspondence) -> RecordedRequest:
    """Return the request with the actual values in place of the recorded ones."""
    headers = tuple((name, names.native_text(value)) for name, value in request.headers)
    target = names.native_text(request.target)
    return replace(request, target=target, headers=headers, body=_current_body(request.body, names))


def _current_body(body: bytes | None, names: Correspondence) -> bytes | None:
    return names.native_text(body.decode("latin-1")).encode("latin-1") if body else body


def _now() -> int:
    return time.time_ns() // 1_000_000
