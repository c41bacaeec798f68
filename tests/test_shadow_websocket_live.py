"""WebSocket conversations from a client to the report: a gateway with its shadow process, the demo legacy, MongoDB.

Reports are not redacted, so that they could contain the searched texts.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from bson import json_util
from click.testing import CliRunner, Result
from pymongo.database import Database
from websockets.asyncio.client import connect

from demo.ports import free_port
from demo.services import ROOT, DemoLegacy, Gateway, Upstreams, backend_environment
from proxy.cli.main import main
from tests.support.altered_stream import ALTERED
from tests.support.backends import scratch_database
from tests.support.broken_handler import begin

CANARY: Final = "CanaryOfTheAudioThatMustBeStoredNowhere"
AUDIO: Final = base64.b64encode(f"{CANARY}{'x' * 1500}".encode()).decode()
SPOKEN: Final = "tell the canary"
ROUTING: Final = """
legacy: {{url: "${{LEGACY_URL}}"}}
native: tests.support.altered_stream:app
contracts: {contracts}
shadow: {{max_cpu_wait: 100%, websocket: {{max_size: 64KiB}}}}
mongodb: {{database: {database}}}
reports: {{redact: off, staging: true}}
routes:
  - {{name: stream, match: WS /transcription-stream, shadow: 100%}}
"""


@dataclass(frozen=True)
class LiveStack:
    """A gateway, its reports, and everything that it writes."""

    url: str
    log: Path
    mongodb_url: str
    database: Database[dict[str, Any]]

    def converse(self, consultation: str, chunks: int = 9) -> list[str]:
        """Hold a conversation and return the types of the messages that came."""
        return asyncio.run(self._converse(consultation, chunks))

    async def _converse(self, consultation: str, chunks: int) -> list[str]:
        kinds: list[str] = []
        async with connect(self.url, compression=None, proxy=None) as socket, asyncio.timeout(60):
            await socket.send(json.dumps({"type": "start_recording", "consultationId": consultation}))
            for _ in range(chunks):
                await socket.send(json.dumps({"type": "audio_chunk", "audioData": AUDIO, "note": SPOKEN}))
            while len(kinds) < 2 + chunks // 9:  # the legacy works on several portions at once
                kinds.append(json.loads(await socket.recv())["type"])
            await socket.send(json.dumps({"type": "stop_recording"}))
            while not kinds or kinds[-1] != "recording_stopped":
                kinds.append(json.loads(await socket.recv())["type"])
        return kinds

    def run(self, *options: str) -> Result:
        where = ["--mongodb-url", self.mongodb_url, "--database", self.database.name]
        command = ["report", *options, "--since", "1h", *where, "--config", str(self.log.parent / "routing.yaml")]
        return CliRunner(env={"LEGACY_URL": "http://127.0.0.1:9"}).invoke(main, command)

    def report(self, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the report's figures of the route, as soon as there are enough."""
        deadline = time.monotonic() + 120
        while True:
            parsed: dict[str, Any] = json.loads(self.run("--json").stdout)
            (route,) = [one for one in parsed["routes"] if one["route"] == "stream"] or [{}]
            if route and enough(route):
                return {**route, "fields": [(one["field"], one["kind"]) for one in parsed["fields"]]}
            assert time.monotonic() < deadline, parsed
            time.sleep(0.1)

    def written(self) -> str:
        """Return all that is stored or logged."""
        documents = [list(self.database[name].find()) for name in self.database.list_collection_names()]
        return json_util.dumps(documents) + self.log.read_text()


@pytest.fixture(scope="module")
def stack(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    directory = tmp_path_factory.mktemp("conversations")
    file, log, ports = directory / "routing.yaml", directory / "gateway.log", (free_port(), free_port())
    with ExitStack() as running:
        product, own = (running.enter_context(scratch_database(mongodb_url)) for _ in range(2))
        file.write_text(ROUTING.format(contracts=ROOT / "contracts", database=own.name))
        upstreams = begin(running, Upstreams(directory / "upstreams.log"))
        environment = backend_environment(mongodb_url, upstreams.url, product.name)
        environment["LEGACY_URL"] = begin(running, DemoLegacy(environment, directory / "legacy.log")).url
        begin(running, Gateway(file, environment, log, host="127.0.0.1", port=ports[0], ops_port=ports[1]))
        stack = LiveStack(f"ws://127.0.0.1:{ports[0]}/transcription-stream", log, mongodb_url, own)
        stack.converse("warm", 0)
        while not stack.report(lambda route: True)["compared"]:  # the shadow process is starting
            stack.converse("warm", 0)
            time.sleep(0.2)
        yield stack


@pytest.mark.slow  # tests/test_shadow_conversations.py compares in one process
def test_conversations_are_reported_without_any_audio(stack: LiveStack) -> None:
    expected = ["connection", "recording_started", "transcript", "transcript", "recording_stopped"]
    assert stack.converse("C-1") == stack.converse(ALTERED) == expected
    stack.converse("C-1", chunks=40)
    route = stack.report(lambda route: route["mismatch"] and "body_too_large" in route["skipped"])
    assert (route["mismatch"], route["skipped"]["body_too_large"]) == (1, 1), route["fields"]
    assert route["fields"] == [("frames.*.message", "value")]
    written = stack.written()
    assert "Speak up!" in written
    assert not any(word in written for word in (CANARY, AUDIO[:100], SPOKEN))


@pytest.mark.slow
def test_gates_count_conversations(stack: LiveStack) -> None:
    passed = stack.run("--max-mismatch", "100%", "--min-compared", "2")
    assert passed.exit_code == 0, passed.output
    assert stack.run("--max-mismatch", "1%").exit_code == 1
    assert stack.run("--max-mismatch", "100%", "--min-compared", "99").exit_code == 1
