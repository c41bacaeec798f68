"""Repeated requests of a comparison: a difference that does not recur was caused by another write."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator

import pytest

from proxy.comparison.exchange import Exchange
from proxy.comparison.verdicts import Reason, Verdict
from proxy.config.service_models import ShadowWorkerSettings
from proxy.contract.bundle import ContractBundle
from proxy.contract.model import Operation
from proxy.reports.events import ComparisonEvent, Entry, ReplayEvent, SkippedEvent
from proxy.shadow.comparator import Comparator
from proxy.shadow.dry_run import DryRunExchange
from proxy.shadow.messages import CompareRead, RequestSnapshot
from proxy.shadow.replay import Bounds
from proxy.types import JSON, Backend, BasisPoints
from tests.support.exchanges import NOW, answered, exchange, object_id
from tests.support.shadowed_requests import CONNECTION
from tests.support.waiting import HANG_TIMEOUT

SENT_JSON = ((b"Content-Type", b"application/json"),)


class Stage:
    """Backends that give set answers in turn, the last one repeatedly."""

    contracts = ContractBundle()

    def __init__(self, noise: int = 0) -> None:
        self.settings = ShadowWorkerSettings(noise=BasisPoints(noise))
        self.requested: list[Backend] = []
        self._answers: dict[Backend, Iterator[Exchange | Reason]] = {}

    def set_answers(self, backend: Backend, *values: JSON | Reason | Exchange) -> None:
        answers = [value if isinstance(value, str | Exchange) else answered(value) for value in values]
        self._answers[backend] = itertools.chain(answers, itertools.repeat(answers[-1]))  # type: ignore[arg-type]

    def bounds(self, deadline: float | None = None, other: Exchange | None = None) -> Bounds:
        return Bounds(1000, 1000, deadline or time.monotonic() + HANG_TIMEOUT)

    def operation(self, exchange: Exchange) -> Operation | None:
        return None

    async def fetch(self, backend: Backend, route: str, request: RequestSnapshot, bounds: Bounds) -> Exchange | Reason:
        self.requested.append(backend)
        return next(self._answers[backend])

    async def dry_run(
        self, dry_run: DryRunExchange, route: str, request: RequestSnapshot, bounds: Bounds
    ) -> Exchange | Reason:
        self.requested.append("native")
        return next(self._answers["native"])


class Room:
    """A comparator on such backends, and its results."""

    def __init__(self, noise: int = 0) -> None:
        self.stage = Stage(noise)
        self.entries: list[Entry] = []
        self._writes = 0
        self._comparator = Comparator(self.stage, self.entries.append, (0.0, 0.0, 0.0))  # type: ignore[arg-type]

    async def read(self, served: JSON | Exchange, backend: Backend = "legacy", route: str = "r") -> Verdict:
        verdicts: list[Verdict] = []
        given = served if isinstance(served, Exchange) else answered(served)
        await self._comparator.compare_read(
            CompareRead(1, route, backend, CONNECTION, given, time.monotonic() + HANG_TIMEOUT), verdicts.append
        )
        [verdict] = verdicts
        return verdict

    async def write(self, legacy: JSON | Exchange, native: JSON, sent: JSON = None) -> Verdict:
        """Compare a dry run; the second one has the answer that the stage received."""
        body = json.dumps(sent).encode()
        one, other = (
            each if isinstance(each, Exchange) else answered(each, method="PATCH", sent=body, sent_headers=SENT_JSON)
            for each in (legacy, native)
        )
        # The times of two dry runs of the same moment would overlap.
        self._writes += 1
        one, other = (each._replace(started=each.started + 10 * self._writes) for each in (one, other))
        request = RequestSnapshot.of(one, CONNECTION)
        return await self._comparator.compare_dry_run("r", request, one, other, ())

    def entries_of(self, kind: type[Entry]) -> list[Entry]:
        return [entry for entry in self.entries if isinstance(entry, kind)]


def fields(verdict: Verdict) -> list[str]:
    return [one.field for one in verdict.unexplained]


async def test_match_is_not_repeated() -> None:
    room = Room()
    room.stage.set_answers("native", {"a": 1})
    assert (await room.read({"a": 1})).name == "match"
    assert room.stage.requested == ["native"]
    assert [type(one) for one in room.entries] == [ComparisonEvent]


async def test_unrepeatable_difference_is_skipped() -> None:
    room = Room()
    room.stage.set_answers("native", {"a": 2})
    room.stage.set_answers("legacy", {"a": 2})
    verdict = await room.read({"a": 1})
    assert (verdict.name, verdict.reason) == ("skipped", "changed")
    assert room.stage.requested == ["native", "legacy", "native"]
    assert [type(one) for one in room.entries] == [ComparisonEvent]


async def test_repeated_differences_without_noise_are_reported() -> None:
    room = Room()
    room.stage.set_answers("native", {"a": 2, "b": 2})
    room.stage.set_answers("legacy", {"a": 1, "b": 2})
    assert fields(await room.read({"a": 1, "b": 1})) == ["body.a"]
    [replay] = room.entries_of(ReplayEvent)
    assert isinstance(replay, ReplayEvent)
    assert fields(replay.verdict) == ["body.b"]


async def test_changing_field_beside_a_difference_is_omitted() -> None:
    room = Room()
    room.stage.set_answers("native", {"a": 2, "b": 2}, {"a": 2, "b": 1})
    room.stage.set_answers("legacy", {"a": 1, "b": 1})
    assert fields(await room.read({"a": 1, "b": 1})) == ["body.a"]


async def test_confirmed_difference_is_cached() -> None:
    room = Room()
    room.stage.set_answers("native", {"a": 2, "b": 1})
    room.stage.set_answers("legacy", {"a": 1, "b": 1})
    for _ in range(2):
        assert fields(await room.read({"a": 1, "b": 1})) == ["body.a"]
    assert len(room.stage.requested) == 9 + 1
    room.stage.set_answers("native", {"a": 2, "b": 3})
    assert fields(await room.read({"a": 1, "b": 1})) == ["body.a", "body.b"]  # another difference is confirmed again
    assert len(room.stage.requested) == 10 + 9
    assert fields(await room.read({"a": 1, "b": 1}, route="other")) == ["body.a", "body.b"]
    assert len(room.stage.requested) == 19 + 9


@pytest.mark.parametrize("backend", ["legacy", "native"])
async def test_difference_that_cannot_be_repeated_is_skipped(backend: Backend) -> None:
    room = Room()
    room.stage.set_answers("native", {"a": 2}, *(["timeout"] if backend == "native" else []))
    room.stage.set_answers("legacy", "timeout" if backend == "legacy" else {"a": 1})
    assert (await room.read({"a": 1})).reason == "timeout"
    room.stage.set_answers("native", {"a": 2})
    room.stage.set_answers("legacy", exchange(outcome="unasked"))
    assert (await room.read({"a": 1})).reason == "backend_unavailable"


async def test_read_that_legacy_never_answers_is_a_mismatch() -> None:
    room = Room()
    room.stage.set_answers("native", {"a": 2})
    room.stage.set_answers("legacy", "timeout")
    assert (await room.read(exchange(outcome="hang"))).name == "mismatch"


async def test_timeout_that_a_restart_of_legacy_interrupts_is_skipped() -> None:
    room = Room()
    room.stage.set_answers("native", {"a": 2})
    room.stage.set_answers("legacy", exchange(outcome="unasked"))
    for _ in range(2):
        verdict = await room.read(exchange(outcome="hang"))
        assert (verdict.name, verdict.reason) == ("skipped", "backend_unavailable")


async def test_request_the_other_backend_cannot_get_is_skipped() -> None:
    room = Room()
    room.stage.set_answers("native", "timeout")
    assert (await room.read({"a": 1})).reason == "timeout"
    assert (await room.read(exchange(b"x", "text/event-stream"))).reason == "streaming"
    assert room.stage.requested == ["native"]
    assert room.entries == [SkippedEvent("r", "legacy", "timeout"), SkippedEvent("r", "legacy", "streaming")]


@pytest.mark.parametrize(("noise", "expected"), [(0, 0), (2500, 5), (6000, 12), (9500, 19), (10_000, 20)])
async def test_configured_share_of_reads_is_replayed_on_legacy(noise: int, expected: int) -> None:
    room = Room(noise)
    room.stage.set_answers("native", {"a": 1})
    room.stage.set_answers("legacy", {"a": 2})
    for _ in range(20):
        await room.read({"a": 1})
    replays = room.entries_of(ReplayEvent)
    assert len(replays) == expected
    assert all(isinstance(one, ReplayEvent) and fields(one.verdict) == ["body.a"] for one in replays)


async def test_first_read_of_each_route_is_replayed() -> None:
    room = Room(noise=100)
    for backend in ("native", "legacy"):
        room.stage.set_answers(backend, {"a": 1})
    for route in ("r", "s", "r"):
        await room.read({"a": 1}, "native", route)
    assert [one.route for one in room.entries_of(ReplayEvent)] == ["r", "s"]


async def test_unanswered_read_is_not_replayed() -> None:
    room = Room(noise=10_000)
    room.stage.set_answers("native", exchange(outcome="hang"))
    assert (await room.read(exchange(outcome="hang"))).name == "match"
    assert room.stage.requested == ["native"]


OLD: dict[str, JSON] = {"title": "t", "count": 1}
NEW: dict[str, JSON] = {"title": "t", "count": 2}


async def test_matching_dry_run_is_not_repeated() -> None:
    room = Room()
    assert (await room.write({"_id": object_id(1)}, {"_id": object_id(2)})).name == "match"
    assert room.stage.requested == []


async def test_dry_run_matching_when_repeated_is_skipped() -> None:
    room = Room()
    room.stage.set_answers("native", {**NEW})
    verdict = await room.write({**NEW}, {**OLD}, {"title": "t"})
    assert (verdict.name, verdict.reason) == ("skipped", "changed")
    assert [entry.verdict.reason for entry in room.entries if isinstance(entry, ComparisonEvent)] == ["changed"]


async def test_dry_run_differing_each_time_is_a_mismatch() -> None:
    room = Room()
    room.stage.set_answers("native", {"title": "t", "count": 1})
    assert fields(await room.write({**NEW}, {**OLD})) == ["body.count"]
    assert len(room.stage.requested) == 3


async def test_dry_run_that_cannot_be_repeated_is_skipped() -> None:
    room = Room()
    room.stage.set_answers("native", "timeout")
    assert (await room.write({"other": 1}, {"other": 2})).reason == "timeout"


async def test_write_that_a_restart_of_legacy_interrupts_is_skipped() -> None:
    room = Room()
    room.stage.set_answers("native", {**NEW})
    assert (await room.write(exchange(outcome="reset", method="PATCH"), {**NEW})).reason == "backend_unavailable"


@pytest.mark.parametrize(
    ("legacy", "native", "sent"),
    [
        ({"title": "new"}, {"title": "old"}, {"title": "new"}),
        ({"note": {"tags": ["a", "b"]}}, {"note": {"tags": ["a", "c"]}}, {"tags": ["a", "b"]}),
    ],
)
async def test_stale_answer_to_a_write_is_a_mismatch(legacy: JSON, native: JSON, sent: JSON) -> None:
    room = Room()
    room.stage.set_answers("native", legacy)
    assert (await room.write(legacy, native, sent)).name == "mismatch"


async def test_sent_value_is_a_mismatch_the_third_time_beside_writers() -> None:
    room = Room()
    room.stage.set_answers("native", {"a": 2})
    room.stage.set_answers("legacy", {"a": 2})
    assert (await room.read({"a": 1})).reason == "changed"
    room.stage.set_answers("native", {"title": "new"})
    verdicts = [await room.write({"title": "new"}, {"title": "old"}, {"title": "new"}) for _ in range(3)]
    assert [one.name for one in verdicts] == ["skipped", "skipped", "mismatch"]


@pytest.mark.parametrize(
    ("legacy", "native", "later"),
    [
        ({**NEW}, {**OLD}, {**NEW}),
        ({"count": 2}, {"count": 3}, {"count": 5}),
        ({"_id": object_id(1)}, {"_id": object_id(2, NOW - 9999)}, {"_id": object_id(1)}),
    ],
    ids=["stale", "counted twice", "stale id"],
)
async def test_stale_answer_is_a_mismatch_the_third_time(legacy: JSON, native: JSON, later: JSON) -> None:
    room = Room()
    room.stage.set_answers("native", later)
    assert [(await room.write(legacy, native)).name for _ in range(4)] == ["skipped"] * 2 + ["mismatch"] * 2
