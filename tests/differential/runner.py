"""One sequence of requests put to both sides: recorded from the stand-in, played to the native app."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from proxy.comparison.answers import DecodedAnswer
from proxy.contract import divergences
from proxy.contract.divergences import Divergence
from proxy.recordings.model import RecordedRequest, Scenario, Step
from proxy.recordings.player import Player, PlayerSettings
from proxy.recordings.raw_http import Origin, exchange
from proxy.recordings.report import Result, value_text
from proxy.recordings.side_effects import OutsideCalls, StoredDocuments
from proxy.types import JSON
from tests.differential.actions import Action, Answered
from tests.differential.sides import Side

CONTRACTS = Path(__file__).parents[2] / "contracts"
PATIENCE = 1.5
"""Seconds without an answer that count as never."""

_RETURN = 15.0


@dataclass(frozen=True)
class Account:
    """What came of a sequence: the recording of the legacy's side, and every result of playing it to the native."""

    scenario: Scenario
    results: tuple[Result, ...]

    @property
    def differing(self) -> tuple[Result, ...]:
        """The results with differences that no divergence declares."""
        return tuple(result for result in self.results if result.verdict == "differing")

    def describe(self) -> str:
        """The sequence with its answers, and where the native side differs."""
        lines = [f"{len(self.scenario.steps)} requests:"]
        for step in self.scenario.steps:
            lines.append(f"  {step.name}: {_shown(step.request)}")
            lines.append(f"    legacy: {step.answer.outcome} {step.answer.status or ''} {step.answer.text[:300]}")
        for result in self.differing:
            lines.append(f"differs in {result.subject} {result.name} ({result.endpoint}):")
            lines += [
                f"    {one.place} {one.kind}: {value_text(one.legacy)!r} / {value_text(one.native)!r}"
                for one in result.unexplained
            ]
        return "\n".join(lines)

    def as_recording(self) -> JSON:
        """The scenario as `http.json` holds it."""
        return {
            "scenario": self.scenario.name,
            "about": self.scenario.about,
            "env": {},
            "before": {name: list(documents) for name, documents in self.scenario.before.items()},
            "steps": [_step_json(step) for step in self.scenario.steps],
            "store": {name: list(documents) for name, documents in self.scenario.store.items()},
            "calls": list(self.scenario.calls),
        }

    def write(self, directory: Path) -> Path:
        """Put the recording into a directory that `scribe-proxy verify --recordings` takes."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "http.json").write_text(json.dumps([self.as_recording()], indent=1))
        (directory / "account.txt").write_text(self.describe(), errors="backslashreplace")
        return directory


class Duel:
    """Both sides, with what is needed to put sequences to them."""

    def __init__(self, legacy: Side, player: Player, documents: StoredDocuments, calls: OutsideCalls) -> None:
        self._origin = Origin.parse(legacy.url)
        self._player = player
        self._documents = documents
        self._calls = calls

    @classmethod
    @contextlib.asynccontextmanager
    async def between(
        cls, legacy: Side, native: Side, declared: tuple[Divergence, ...] | None = None
    ) -> AsyncIterator[Duel]:
        """Between two running sides; `declared` divergences are the contract's own unless given."""
        terms = PlayerSettings(
            hang_after=2 * PATIENCE, divergences=declared_divergences() if declared is None else declared
        )
        async with (
            StoredDocuments(legacy.mongodb_url, legacy.database) as documents,
            StoredDocuments(native.mongodb_url, native.database) as native_documents,
            OutsideCalls(legacy.calls_url) as calls,
            OutsideCalls(native.calls_url) as native_calls,
        ):
            yield cls(legacy, Player(native.url, terms, native_documents, native_calls), documents, calls)

    async def fight(self, before: Mapping[str, Sequence[JSON]], actions: Sequence[Action]) -> Account:
        """Put the actions to the stand-in, then to the native app, both from the same documents on."""
        scenario = await self._record(before, actions)
        results: list[Result] = []
        await self._player.play_scenario(scenario, results.append)
        return Account(scenario, tuple(results))

    async def _record(self, before: Mapping[str, Sequence[JSON]], actions: Sequence[Action]) -> Scenario:
        await self._documents.reset(before)
        await self._calls.clear()
        answered, steps = Answered(), list[Step]()
        for place, action in enumerate(actions):
            request = answered.fill(action)
            answer = await self._ask(request)
            answered.note(answer)
            steps.append(Step(f"step {place}", request, answer))
        return Scenario(
            name=_named(steps),
            steps=tuple(steps),
            store=await self._documents.read(),
            calls=await self._calls.read(),
            before=before,
            moment=time.time_ns() // 1_000_000,
            about="found by tests/differential",
        )

    async def _ask(self, request: RecordedRequest) -> DecodedAnswer:
        answer = await exchange(self._origin, request, PATIENCE)
        if answer.outcome == "reset":
            await self._await_return()
        return answer

    async def _await_return(self) -> None:
        """A reset may be the end of the worker; the next one takes its port within a second."""
        deadline = time.monotonic() + _RETURN
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if (await exchange(self._origin, RecordedRequest("GET", "/"), PATIENCE)).outcome == "response":
                    return
            await asyncio.sleep(0.05)
        raise TimeoutError("the stand-in did not come back")


def declared_divergences() -> tuple[Divergence, ...]:
    """The contract's, and what they bring with them."""
    files = (CONTRACTS / "divergences.yaml", Path(__file__).with_name("consequences.yaml"))
    return tuple(divergence for file in files for divergence in divergences.load(file))


def _named(steps: Sequence[Step]) -> str:
    """A name that tells of what divergences show in outside calls."""
    telling = ("codes", "summarise")
    targets = " ".join(step.request.target.lower() for step in steps)
    return "-".join(["counterexample", *(word for word in telling if word in targets)])


def _shown(request: RecordedRequest) -> str:
    headers = dict(request.headers)
    return f"{request.method} {request.target} {headers} {(request.body or b'')[:400]!r}"


def _step_json(step: Step) -> JSON:
    request, answer = step.request, step.answer
    sent: dict[str, JSON] = {"method": request.method, "path": request.target}
    sent["headers"] = dict(request.headers)
    if request.body is not None:
        sent["content"] = list(request.body)
    found: dict[str, JSON] = {"name": step.name, "request": sent, "outcome": answer.outcome}
    if answer.outcome == "response":
        found["response"] = {"status": answer.status, "headers": dict(answer.headers), "text": answer.text}
    return found
