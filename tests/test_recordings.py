"""Every recording, played through the gateway and on the native app.

The demo's legacy is a real Node service on a real MongoDB, the gateway a process, the outside services real HTTP.
Requests that the demo's legacy does not answer are compared with the recordings in `tests/demo`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai  # noqa: F401 -- the app imports it with its first call, which takes longer than HANG on a busy machine
import pytest

from demo.ports import free_port
from demo.services import ROOT, Gateway
from handlers.app import create_app
from handlers.settings import Settings
from proxy.contract import divergences
from proxy.recordings import model
from proxy.recordings.player import Player, PlayerSettings
from proxy.recordings.report import Report, tally
from proxy.recordings.side_effects import OutsideCalls, StoredDocuments
from tests.support.patient_timings import PATIENT
from tests.support.recording_environment import HANG, RecordingEnvironment, describe_differences, environment, legacy
from tests.support.sockets import threaded
from tests.support.waiting import HANG_TIMEOUT

__all__ = ["environment"]  # a fixture

EVERYTHING = """
  - {name: all, match: "* /*", native: 100%}
  - {name: root, match: "* /", native: 100%}
  - {name: transcription, match: WS /transcription-stream, native: 100%}
"""
NOTHING = """
  - {name: all, match: "* /*"}
  - {name: transcription, match: WS /transcription-stream}
"""


@contextmanager
def gateway(environment: RecordingEnvironment, legacy_url: str, routes: str) -> Iterator[str]:
    file = environment.directory / "routing.yaml"
    file.write_text(
        f"legacy: {{url: {legacy_url}, timeouts: {{response: {HANG * 0.75}s}}}}\n"
        f"native: handlers.app:app\nallowed_origins: http://localhost:3000\nroutes: {routes}"
    )
    port = free_port()
    process = Gateway(
        file,
        environment.variables,
        environment.directory / "gateway.log",
        host="127.0.0.1",
        port=port,
        ops_port=free_port(),
    )
    process.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()


@contextmanager
def native(environment: RecordingEnvironment) -> Iterator[str]:
    """Serve the native app alone, in a thread of this process, so that coverage is measured."""
    given: dict[str, Any] = {name.lower(): value for name, value in environment.variables.items()}
    settings = Settings(**given)
    with threaded(create_app(settings, PATIENT), lifespan="on") as url:
        yield url


async def play(base_url: str, environment: RecordingEnvironment, *, declared: bool) -> Report:
    known = divergences.load(ROOT / "contracts" / "divergences.yaml") if declared else ()
    terms = PlayerSettings(HANG, {"hang": 504, "reset": 502}, known, restart_timeout=HANG_TIMEOUT, strict=True)
    recorded = model.load(ROOT / "contracts" / "recordings")
    async with (
        StoredDocuments(environment.mongodb_url, environment.database) as documents,
        OutsideCalls(f"{environment.upstreams_url}/_calls") as calls,
    ):
        return await Player(base_url, terms, documents, calls).play(recorded)


@pytest.mark.slow  # the native app below plays them; bytes that pass a gateway unchanged are tests/conformance's
def test_gateway_answers_all_recordings_as_legacy_alone(environment: RecordingEnvironment) -> None:
    with legacy(environment) as url, gateway(environment, url, NOTHING) as base_url:
        report = asyncio.run(play(base_url, environment, declared=False))
    assert describe_differences(report) == ""
    counted = {subject: tally.equal for subject, tally in report.by_subject().items()}
    recorded = model.load(ROOT / "contracts" / "recordings")
    scenarios = len(recorded.scenarios)
    assert counted == {
        "step": sum(len(each.steps) for each in recorded.scenarios),
        "store": scenarios,
        "calls": scenarios,
        "conversation": len(recorded.conversations),
        "connection": len(recorded.connections),
    }


@pytest.mark.slow  # the gateway and the native app are each played alone
def test_native_differs_in_declared_differences_only(environment: RecordingEnvironment) -> None:
    with legacy(environment) as url, gateway(environment, url, EVERYTHING) as base_url:
        report = asyncio.run(play(base_url, environment, declared=True))
    assert describe_differences(report) == ""
    assert tally(report.results).declared > 0


def test_native_app_alone_differs_only_where_declared(environment: RecordingEnvironment) -> None:
    with native(environment) as base_url:
        report = asyncio.run(play(base_url, environment, declared=True))
    assert describe_differences(report) == ""
    assert report.by_subject()["step"].equal >= 285
