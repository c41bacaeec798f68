"""Every recording, played through the gateway and against the native app: the product's promise, kept on real parts.

The stand-in legacy is a real Node service on a real MongoDB, the gateway a process, the outside services real HTTP.
What the stand-in leaves without an answer is held against the recordings in `tests/demo`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai  # noqa: F401 -- the app imports it with its first call, which takes longer than HANG on a busy machine
import pytest

from demo.ports import free_port
from demo.services import ROOT, DemoLegacy, Gateway, Upstreams, backend_environment
from handlers.app import create_app
from handlers.settings import Settings
from proxy.contract import divergences
from proxy.recordings import model
from proxy.recordings.player import Player, PlayerSettings
from proxy.recordings.report import Report, tally
from proxy.recordings.side_effects import OutsideCalls, StoredDocuments
from tests.support.patient_timings import PATIENT
from tests.support.sockets import threaded

HANG = 6.0
"""Seconds after which the player gives up; the gateway gives up on legacy before that."""
EVERYTHING = """
  - {name: all, match: "* /*", native: 100%}
  - {name: root, match: "* /", native: 100%}
  - {name: transcription, match: WS /transcription-stream, native: 100%}
"""
NOTHING = """
  - {name: all, match: "* /*"}
  - {name: transcription, match: WS /transcription-stream}
"""


@dataclass(frozen=True)
class Surroundings:
    """A database and outside services of one's own, and the environment that names them."""

    mongodb_url: str
    upstreams_url: str
    database: str
    place: Path

    @property
    def environment(self) -> dict[str, str]:
        return backend_environment(self.mongodb_url, self.upstreams_url, self.database)


@pytest.fixture
def around(mongodb_url: str, tmp_path: Path) -> Iterator[Surroundings]:
    upstreams = Upstreams(tmp_path / "upstreams.log")
    upstreams.start()
    try:
        database = f"recordings_{free_port()}"
        yield Surroundings(mongodb_url, upstreams.url, database, tmp_path)
    finally:
        upstreams.stop()


@contextmanager
def legacy(around: Surroundings) -> Iterator[str]:
    service = DemoLegacy(around.environment, around.place / "legacy.log")
    service.start()
    try:
        yield service.url
    finally:
        service.stop()


@contextmanager
def gateway(around: Surroundings, legacy_url: str, routes: str) -> Iterator[str]:
    file = around.place / "routing.yaml"
    file.write_text(
        f"legacy: {{url: {legacy_url}, timeouts: {{response: {HANG * 0.75}s}}}}\n"
        f"native: handlers.app:app\nallowed_origins: http://localhost:3000\nroutes: {routes}"
    )
    port = free_port()
    process = Gateway(
        file, around.environment, around.place / "gateway.log", host="127.0.0.1", port=port, ops_port=free_port()
    )
    process.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()


@contextmanager
def native(around: Surroundings) -> Iterator[str]:
    """The native app alone, in a thread of this process, so that coverage sees it."""
    given: dict[str, Any] = {name.lower(): value for name, value in around.environment.items()}
    settings = Settings(**given)
    with threaded(create_app(settings, PATIENT), lifespan="on") as url:
        yield url


async def play(base_url: str, around: Surroundings, *, declared: bool) -> Report:
    known = divergences.load(ROOT / "contracts" / "divergences.yaml") if declared else ()
    terms = PlayerSettings(hang_after=HANG, accepted={"hang": 504, "reset": 502}, divergences=known)
    recorded = model.load(ROOT / "contracts" / "recordings")
    async with (
        StoredDocuments(around.mongodb_url, around.database) as documents,
        OutsideCalls(f"{around.upstreams_url}/_calls") as calls,
    ):
        return await Player(base_url, terms, documents, calls).play(recorded)


def told(report: Report) -> str:
    """What differs, for the failing test to say."""
    return "\n".join(
        f"{result.scenario} / {result.name} {result.endpoint}: {result.unexplained}"
        for result in report.results
        if result.verdict == "differing"
    )


def test_gateway_answers_all_recordings_as_legacy_alone(around: Surroundings) -> None:
    with legacy(around) as url, gateway(around, url, NOTHING) as base_url:
        report = asyncio.run(play(base_url, around, declared=False))
    assert told(report) == ""
    counted = {subject: tally.equal for subject, tally in report.by_subject().items()}
    assert counted == {"step": 345, "store": 53, "calls": 53, "conversation": 14, "connection": 4}


@pytest.mark.slow  # the gateway and the native app are each played alone
def test_with_everything_native_only_what_is_declared_differs(around: Surroundings) -> None:
    with legacy(around) as url, gateway(around, url, EVERYTHING) as base_url:
        report = asyncio.run(play(base_url, around, declared=True))
    assert told(report) == ""
    assert tally(report.results).declared > 0


def test_the_native_app_alone_differs_only_where_declared(around: Surroundings) -> None:
    with native(around) as base_url:
        report = asyncio.run(play(base_url, around, declared=True))
    assert told(report) == ""
    assert report.by_subject()["step"].equal >= 285
