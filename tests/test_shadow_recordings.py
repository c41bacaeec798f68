"""The recordings, played through the gateway with everything shadowed: only declared differences occur.

If legacy serves, native runs in the shadow, and its writes are dry runs; if native serves, reads run on legacy. A
client gets its answer after the comparison; otherwise the shadow of one step would read the writes of the next.

One or two scenarios of each resource are played; with SHADOW_RECORDINGS=all in the environment all of them, with each
backend serving everything in turn.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.services import ROOT
from proxy.comparison.verdicts import Name
from proxy.contract import divergences
from proxy.recordings import model
from proxy.recordings.model import Recordings
from proxy.recordings.player import Player, PlayerSettings
from proxy.recordings.report import Report
from proxy.recordings.side_effects import StoredDocuments
from proxy.reports.models import RouteSummary, Span
from proxy.reports.reader import ReportReader
from proxy.runtime.process import GatewayProcess
from proxy.shadow.timings import ShadowTimings
from tests.support.backend_pair import shows
from tests.support.recording_environment import HANG, RecordingEnvironment, describe_differences, environment, legacy
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT

__all__ = ["environment"]  # a fixture

LEGACY = """
  - {name: all, match: "* /*", shadow: {share: 100%, writes: dry_run}}
  - {name: root, match: "* /", shadow: {share: 100%, writes: dry_run}}
"""
NATIVE = """
  - {name: all, match: "* /*", native: 100%, shadow: 100%}
  - {name: root, match: "* /", native: 100%, shadow: 100%}
"""
MIXED = """
  - {name: prompts, match: "* /api/prompts", native: 100%, shadow: 100%}
  - {name: prompt, match: "* /api/prompts/*", native: 100%, shadow: 100%}
  - {name: profile, match: GET /users/profile, native: 100%, shadow: 100%}
"""
PATIENT = ShadowTimings(heartbeat_timeout=60.0, niceness=0)
"""A busy machine may not run the process for so long."""
WHOLE = os.environ.get("SHADOW_RECORDINGS") == "all"
CHOSEN = "root unknown-paths bad-json login-wrong-password profile-refused note-life prompt-life ai-search ai-analyze"
UNDECLARED: Sequence[Name] = ("mismatch", "violation")


@dataclass(frozen=True)
class Play:
    """The result of playing: the clients' report, the comparisons, and where the backends differed undeclared."""

    report: Report
    routes: Sequence[RouteSummary]
    sample_lines: str
    declared: set[str]

    def count(self, verdict: str) -> int:
        return sum(getattr(route, verdict) for route in self.routes)

    def skipped(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for route in self.routes:
            for reason, number in route.skipped.items():
                counts[reason] = counts.get(reason, 0) + number
        return counts


def compared_first(process: GatewayProcess) -> ASGIApp:
    """Return the gateway, with each answer sent after its comparison."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        await process.gateway(scope, receive, hold)
        while process.shadow.pending:
            await asyncio.sleep(0.002)
        for message in held:
            await send(message)

    return app


@asynccontextmanager
async def clinic(
    environment: RecordingEnvironment, legacy_url: str, routes: str, patch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[int, ReportReader]]:
    """Start a gateway in this process and its shadow in another; yield the port and the reports."""
    for name, value in environment.variables.items():
        patch.setenv(name, value)
    file = environment.directory / "routing.yaml"
    file.write_text(
        f"legacy: {{url: {legacy_url}, timeouts: {{response: {HANG * 0.75}s}}}}\n"
        f"native: handlers.app:app\nallowed_origins: http://localhost:3000\ncontracts: {ROOT / 'contracts'}\n"
        f"access_log: false\nmongodb: {{database: {environment.database}_reports}}\n"
        f"shadow: {{dry_run_timeout: 3s, deadline: 5s, noise: 0%, max_cpu_wait: 100%}}\nroutes: {routes}"
    )
    process = GatewayProcess(file, environment.variables, shadow_timings=PATIENT)
    assert process.database is not None
    async with process.running(), serving(compared_first(process)) as port:
        while not process.shadow.ready:
            await asyncio.sleep(0.02)
        yield port, ReportReader(process.database)
        await process.database.command({"dropDatabase": 1})


async def play(environment: RecordingEnvironment, chosen: Recordings, routes: str, patch: pytest.MonkeyPatch) -> Play:
    known = () if routes == LEGACY else divergences.load(ROOT / "contracts" / "divergences.yaml")
    terms = PlayerSettings(HANG, {"hang": 504, "reset": 502}, known, restart_timeout=HANG_TIMEOUT)
    began = time.time()
    with legacy(environment) as url:
        async with (
            clinic(environment, url, routes, patch) as (port, reading),
            StoredDocuments(environment.mongodb_url, environment.database) as documents,
        ):
            report = await Player(f"http://127.0.0.1:{port}", terms, documents).play(chosen)
            await asyncio.sleep(1.5)  # reports are written once a second
            span = Span(began, time.time() + 1)
            samples = [one for name in UNDECLARED for one in await reading.samples(span, verdict=name)]
            sample_lines = "\n".join(f"{one.verdict} {one.operation} {one.statuses}: {one.fields}" for one in samples)
            occurred = await reading.divergences(span, ())
            return Play(report, await reading.routes(span), sample_lines, {one.id for one in occurred})


def scenarios() -> Recordings:
    everything = model.load(ROOT / "contracts" / "recordings")
    return Recordings(tuple(one for one in everything.scenarios if WHOLE or one.name in CHOSEN.split()))


@pytest.mark.slow  # tests/test_planted_faults_end_to_end.py shadows in short
@pytest.mark.timeout(900)
@pytest.mark.parametrize("routes", [LEGACY, NATIVE] if WHOLE else [MIXED + LEGACY])
@shows("dry-run-model")
async def test_recordings_in_the_shadow_differ_as_declared_only(
    routes: str, environment: RecordingEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = await play(environment, scenarios(), routes, monkeypatch)
    assert describe_differences(played.report) == ""
    assert played.sample_lines == ""
    assert played.count("match") > 40
    assert played.skipped().keys() <= {"body_too_large", "backend_unavailable", "write_not_allowed"}  # legacy may die
    assert routes == NATIVE or {"dry-run-model", "login-wrong-password"} <= played.declared
