"""Comparisons while other clients write without pause: a correct handler has no mismatch, each planted fault is named.

Both backends answer from one store of documents, and other clients write before any answer, at random. Unlike with real
backends, the order of all events follows from a seed.
"""

from __future__ import annotations

import copy
import itertools
import random
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import pytest

from proxy.comparison.exchange import Exchange
from proxy.comparison.verdicts import Reason, Verdict
from proxy.config.service_models import ShadowWorkerSettings
from proxy.contract.bundle import ContractBundle
from proxy.contract.model import Operation
from proxy.shadow.comparator import Comparator
from proxy.shadow.confirmation import ConfirmationCache
from proxy.shadow.dry_run import DryRunExchange
from proxy.shadow.messages import CompareRead, RequestSnapshot
from proxy.shadow.replay import Bounds
from proxy.types import Backend, BasisPoints
from tests.support.exchanges import answered
from tests.support.profile import IS_QUICK, combinations
from tests.support.random_seed import seeds
from tests.support.shadowed_requests import CONNECTION
from tests.support.waiting import HANG_TIMEOUT

Documents = dict[str, dict[str, Any]]
Writer = Callable[[Documents, random.Random, int], None]
Handler = Callable[[Documents], tuple[int, Any]]
Fault = Callable[[int, Any, Documents], tuple[int, Any]]
COMPARISONS: Final = 40
FREQUENCY: Final = 0.6
"""Probability of another client's write before an answer."""

LATER_ANSWERS: Final = 3
"""The number of answers in whose time a dry run is repeated, except for the first repetition, which has no pause."""


def initial() -> Documents:
    return {name: {"name": name, "title": "t", "body": "b", "count": 0, "shared": True} for name in ("n1", "n2")}


def replacing(documents: Documents, chance: random.Random, number: int) -> None:
    for note in documents.values():
        note["body"] = f"w{number}"


def counting(documents: Documents, chance: random.Random, number: int) -> None:
    """Count by more than one, because a number that is wrong by one would otherwise often be right by chance."""
    for note in documents.values():
        note["count"] += chance.randint(2, 4)


def toggling(documents: Documents, chance: random.Random, number: int) -> None:
    for note in documents.values():
        note["shared"] = not note["shared"]


def choosing(documents: Documents, chance: random.Random, number: int) -> None:
    for note in documents.values():
        note["body"] = chance.choice(("yes", "no", "maybe"))


def adding(documents: Documents, chance: random.Random, number: int) -> None:
    """Add a document, or delete one that was added."""
    added = [name for name in documents if name.startswith("a")]
    if added and chance.random() < 0.5:
        del documents[chance.choice(added)]
    else:
        documents[f"a{number}"] = {"name": f"a{number}", "title": "t", "body": "b", "count": 0, "shared": True}


def recreating(documents: Documents, chance: random.Random, number: int) -> None:
    """Delete the document of the requests, or create it."""
    if "n1" in documents:
        del documents["n1"]
    else:
        documents["n1"] = {**initial()["n1"], "body": f"w{number}"}


def extending(documents: Documents, chance: random.Random, number: int) -> None:
    """Add an optional field, or remove it."""
    for note in documents.values():
        if note.pop("summary", None) is None:
            note["summary"] = f"s{number}"


WRITERS: Final[dict[str, Writer]] = {
    each.__name__: each for each in (replacing, counting, toggling, choosing, adding, recreating, extending)
}


def get_one(documents: Documents) -> tuple[int, Any]:
    return (200, documents["n1"]) if "n1" in documents else (404, {"msg": "not found"})


def get_all(documents: Documents) -> tuple[int, Any]:
    return 200, {"count": len(documents), "notes": [*documents.values()]}


def change(documents: Documents) -> tuple[int, Any]:
    if "n1" not in documents:
        return 404, {"msg": "not found"}
    documents["n1"]["title"] = "sent"
    return 200, {"note": documents["n1"]}


def delete(documents: Documents) -> tuple[int, Any]:
    note = documents.pop("n1", None)
    return (404, {"msg": "not found"}) if note is None else (200, {"deleted": note["body"]})


READS: Final[dict[str, Handler]] = {each.__name__: each for each in (get_one, get_all)}
WRITES: Final[dict[str, Handler]] = {each.__name__: each for each in (change, delete)}


def in_notes(plant: Callable[[dict[str, Any]], object]) -> Fault:
    def fault(status: int, value: Any, documents: Documents) -> tuple[int, Any]:
        for note in value["notes"] if "notes" in value else [value.get("note", value)]:
            if "title" in note:
                plant(note)
        return status, value

    return fault


FAULTS: Final[dict[str, Fault]] = {
    "a constant": in_notes(lambda note: note.update(title="x")),
    "a missing field": in_notes(lambda note: note.pop("title")),
    "a renamed field": in_notes(lambda note: note.update(text=note.pop("title"))),
    "another type": in_notes(lambda note: note.update(count=str(note["count"]))),
    "a wrong count": in_notes(lambda note: note.update(count=note["count"] + 1)),
    "upper case": in_notes(lambda note: note.update(body=note["body"].upper())),
    "an error": lambda status, value, documents: (500, {"msg": "failed"}),
}


class StormyBackends:
    """Backends on one store, into which another client writes with a probability before each answer."""

    contracts = ContractBundle()
    settings = ShadowWorkerSettings(noise=BasisPoints(0))

    def __init__(self, handler: Handler, writer: Writer, rate: float, seed: int, fault: Fault | None = None) -> None:
        self.documents = initial()
        self._handler, self._writer, self._rate, self._fault = handler, writer, rate, fault
        self._random = random.Random(seed)
        self._number = self._dry_runs = 0

    def _storm(self) -> None:
        while self._random.random() < self._rate:
            self._number += 1
            self._writer(self.documents, self._random, self._number)

    def answer(self, backend: Backend, *, dry: bool = False) -> Exchange:
        self._storm()
        documents = copy.deepcopy(self.documents) if dry else self.documents
        status, value = self._handler(documents)
        value = copy.deepcopy(value)
        if backend == "native" and self._fault is not None:
            status, value = self._fault(status, value, documents)
        return answered(value, method="PATCH", status=status)

    def bounds(self, deadline: float | None = None, other: Exchange | None = None) -> Bounds:
        return Bounds(1000, 1000, time.monotonic() + HANG_TIMEOUT)

    def operation(self, exchange: Exchange) -> Operation | None:
        return None

    async def fetch(self, backend: Backend, route: str, request: RequestSnapshot, bounds: Bounds) -> Exchange | Reason:
        return self.answer(backend)

    async def dry_run(
        self, dry_run: DryRunExchange, route: str, request: RequestSnapshot, bounds: Bounds
    ) -> Exchange | Reason:
        self._dry_runs += 1
        for _ in range(LATER_ANSWERS if self._dry_runs > 1 else 1):
            answer = self.answer("native", dry=True)
        return answer

    def begin(self) -> None:
        """Begin a comparison."""
        self._dry_runs = 0


class Storm:
    """A comparator in such a storm; confirmations have no rate limit."""

    def __init__(self, backends: StormyBackends) -> None:
        self.backends = backends
        unlimited = ConfirmationCache(max_confirmations=sys.maxsize)
        self._comparator = Comparator(backends, lambda entry: None, (0.0,) * 8, unlimited)  # type: ignore[arg-type]
        self._number = 0

    async def read(self) -> Verdict:
        verdicts: list[Verdict] = []
        served = self.backends.answer("legacy")
        job = CompareRead(1, "r", "legacy", CONNECTION, served, time.monotonic() + HANG_TIMEOUT)
        await self._comparator.compare_read(job, verdicts.append)
        return verdicts[0]

    async def write(self, *, restored: bool = True) -> Verdict:
        """Compare a write; `restored`: another client creates the document again that it has deleted."""
        self._number += 1
        self.backends.begin()
        native, legacy = self.backends.answer("native", dry=True), self.backends.answer("legacy")
        if restored and "n1" not in self.backends.documents:
            self.backends.documents["n1"] = initial()["n1"]
        later = 10.0 * self._number
        legacy, native = (
            legacy._replace(started=legacy.started + later),
            native._replace(started=native.started + later),
        )
        request = RequestSnapshot.of(legacy, CONNECTION)
        return await self._comparator.compare_dry_run("r", request, legacy, native, ())

    async def compare(self, name: str, number: int) -> list[Verdict]:
        return [await (self.read() if name in READS else self.write()) for _ in range(number)]


@pytest.mark.seeded
@pytest.mark.parametrize("seed", seeds(1 if IS_QUICK else 2))
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", READS | WRITES)
async def test_storm_of_writes_invents_no_mismatch(name: str, writer: str, seed: int) -> None:
    for frequency in (0.2, FREQUENCY):
        storm = Storm(StormyBackends((READS | WRITES)[name], WRITERS[writer], frequency, seed))
        verdicts = await storm.compare(name, COMPARISONS)
        assert [one.unexplained for one in verdicts if one.name not in ("match", "skipped")] == []
        assert {one.reason for one in verdicts} <= {None, "changed"}


@pytest.mark.parametrize(("name", "writer", "fault"), combinations([*READS, "change"], [*WRITERS], [*FAULTS]))
async def test_planted_fault_is_named_in_a_storm(name: str, writer: str, fault: str) -> None:
    storm = Storm(StormyBackends((READS | WRITES)[name], WRITERS[writer], FREQUENCY, 1, FAULTS[fault]))
    for _ in range(3 * COMPARISONS):
        (verdict,) = await storm.compare(name, 1)
        if verdict.name == "mismatch":
            return
    pytest.fail("no comparison named the fault")


@pytest.mark.parametrize("name", READS)
async def test_new_value_in_each_native_answer_is_a_mismatch(name: str) -> None:
    numbers = itertools.count()
    fault = in_notes(lambda note: note.update(title=f"t{next(numbers)}"))
    storm = Storm(StormyBackends(READS[name], replacing, 0.0, 1, fault))
    assert (await storm.compare(name, 1))[0].name == "mismatch"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", [*READS, "change"])
async def test_planted_fault_is_named_at_once_on_a_quiet_route(name: str, fault: str) -> None:
    storm = Storm(StormyBackends((READS | WRITES)[name], replacing, 0.0, 1, FAULTS[fault]))
    assert (await storm.compare(name, 1))[0].name == "mismatch"


def in_deletions(plant: Callable[[dict[str, Any]], object]) -> Fault:
    def fault(status: int, value: Any, documents: Documents) -> tuple[int, Any]:
        if "deleted" in value:
            plant(value)
        return status, value

    return fault


DELETION_FAULTS: Final[dict[str, Fault]] = {
    "another text": in_deletions(lambda value: value.update(deleted="x")),
    "a renamed field": in_deletions(lambda value: value.update(removed=value.pop("deleted"))),
    "another status": lambda status, value, documents: (204 if status == 200 else status, value),
    "an error for success": lambda status, value, documents: (500, {"msg": "failed"}),
    "success for an error": lambda status, value, documents: (200, value),
}


@pytest.mark.parametrize("fault", DELETION_FAULTS)
async def test_fault_of_a_deletion_is_named_at_once_on_a_quiet_route(fault: str) -> None:
    storm = Storm(StormyBackends(delete, replacing, 0.0, 1, DELETION_FAULTS[fault]))
    verdicts = [await storm.write(restored=False) for _ in range(2)]
    assert verdicts[fault == "success for an error"].name == "mismatch"
