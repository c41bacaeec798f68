"""From a broken handler to the report, on real parts: a gateway with its shadow process, the legacy, MongoDB.

`GET /api/notes/{consultationId}` is broken natively in three ways while a file exists
(tests/support/broken_native.py). The report names these three and nothing else; after the file is removed, nothing is
added to it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from demo.ports import free_port
from demo.services import ROOT, DemoLegacy, Gateway, Upstreams, backend_environment
from proxy.cli.main import main
from proxy.recordings.model import RecordedRequest
from proxy.recordings.raw_http import Origin, exchange
from tests.differential.people import TOKEN as FOREVER
from tests.support.backend_pair import get, post
from tests.support.backends import scratch_database
from tests.support.broken_handler import NOTES, begin, plant
from tests.support.clinic import CONSULTATION, NOTE, PROMPT, TRANSCRIPT
from tests.support.waiting import HANG_TIMEOUT

BREAKAGES: Final = {
    ("body.count", "type"),
    ("body.notes.*.body", "missing"),
    ("body.notes.*.text", "extra"),  # the new name of the field above: native's code contains it
    ("body.notes", "order"),
}
ROUTING: Final = """
legacy: {{url: "${{LEGACY_URL}}"}}
native: tests.support.broken_native:app
contracts: {contracts}
shadow: {{dry_run_timeout: 5s, noise: 0%, max_cpu_wait: 100%}}
mongodb: {{database: {database}}}
routes:
  - {{name: codes, match: GET /api/ai/search/clinicalcodes, native: 100%}}
  - {{name: notes.list, match: "GET /api/notes/{{consultationId}}", shadow: 100%}}
  - {{name: rest, match: "* /*", shadow: {{share: 100%, writes: dry_run}}}}
"""
OTHERS: Final = [
    get("/api/prompts", FOREVER),
    get(f"/api/consultation/{CONSULTATION}", FOREVER),
    post("/api/consultation/start", {"patient_data": "p"}, FOREVER),
    post(f"/api/notes/{CONSULTATION}", {"body": "one more", "transcriptId": TRANSCRIPT}, FOREVER),
    post(f"/api/notes/{NOTE}", {"body": "other"}, FOREVER, "PATCH"),
    post(f"/api/consultation/{CONSULTATION}/end", {"prompt_used": PROMPT}, FOREVER),
]


@dataclass(frozen=True)
class BrokenStack:
    """A gateway and its reports."""

    origin: Origin
    broken: Path
    log: Path
    mongodb_url: str
    database: str

    def send(self, *requests: RecordedRequest) -> list[int | None]:
        return asyncio.run(self._send(requests))

    async def _send(self, requests: Sequence[RecordedRequest]) -> list[int | None]:
        return [(await exchange(self.origin, request, 20)).status for request in requests]

    def report(self) -> dict[str, Any]:
        where = ["--mongodb-url", self.mongodb_url, "--database", self.database, "--contracts", str(ROOT / "contracts")]
        result = CliRunner().invoke(main, ["report", "--json", "--since", "1h", *where])
        assert result.exit_code == 0, result.output
        parsed: dict[str, Any] = json.loads(result.stdout)
        return parsed

    def warm(self) -> None:
        """Return once the shadow process compares, and runs writes dry."""
        deadline = time.monotonic() + HANG_TIMEOUT
        while not compared(self.report(), "notes.list"):
            assert time.monotonic() < deadline
            self.send(NOTES)

    def reported(self, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the report as soon as it is complete enough."""
        deadline = time.monotonic() + HANG_TIMEOUT
        while not enough(report := self.report()):
            assert time.monotonic() < deadline, report
            time.sleep(0.1)
        return report


def compared(report: dict[str, Any], name: str) -> int:
    return sum(route["compared"] for route in report["routes"] if route["route"] == name)


def different(report: dict[str, Any]) -> dict[tuple[str, str], int]:
    """Return the unexplained differences of one route, by field and kind."""
    fields = [field for field in report["fields"] if field["unexplained"]]
    assert {field["route"] for field in fields} <= {"notes.list"}, fields
    return {(field["field"], field["kind"]): field["unexplained"] for field in fields}


@pytest.fixture(scope="module")
def stack(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokenStack]:
    directory = tmp_path_factory.mktemp("broken")
    file, log, ports = directory / "routing.yaml", directory / "gateway.log", (free_port(), free_port())
    with ExitStack() as running:
        product, own = (running.enter_context(scratch_database(mongodb_url)) for _ in range(2))
        plant(product)
        file.write_text(ROUTING.format(contracts=ROOT / "contracts", database=own.name))
        upstreams = begin(running, Upstreams(directory / "upstreams.log"))
        environment = {
            **backend_environment(mongodb_url, upstreams.url, product.name),
            "BROKEN": str(directory / "broken"),
        }
        legacy = begin(running, DemoLegacy(environment, directory / "legacy.log"))
        environment["LEGACY_URL"] = legacy.url
        begin(running, Gateway(file, environment, log, host="127.0.0.1", port=ports[0], ops_port=ports[1]))
        yield BrokenStack(
            Origin.parse(f"http://127.0.0.1:{ports[0]}"), directory / "broken", log, mongodb_url, own.name
        )


@pytest.mark.slow  # tests/test_planted_faults_end_to_end.py has more faults
def test_report_names_the_broken_handler_only(stack: BrokenStack) -> None:
    stack.warm()
    assert stack.send(*OTHERS) == [200, 200, 200, 201, 200, 200]
    sound = stack.reported(lambda report: compared(report, "rest") >= len(OTHERS))
    assert different(sound) == {}
    assert sound["drift"] == []

    stack.broken.touch()
    stack.send(*[NOTES] * 4)
    broken = stack.reported(lambda report: different(report).get(("body.notes", "order"), 0) >= 4)
    assert set(different(broken)) == BREAKAGES
    assert {(drift["path"], drift["rule"], drift["backend"]) for drift in broken["drift"]} == {
        ("body.count", "type", "native"),
        ("body.notes.*", "required", "native"),
    }

    stack.broken.unlink()
    stack.send(*[NOTES] * 4, *OTHERS)
    before = compared(broken, "notes.list")
    right = stack.reported(lambda report: compared(report, "notes.list") >= before + 4)
    assert different(right) == different(broken)


@pytest.mark.slow
def test_queries_are_absent_from_the_log(stack: BrokenStack) -> None:
    # Native requests codes from the terminology server with a client that logs whole URLs by default.
    assert stack.send(get("/api/ai/search/clinicalcodes?name=ichthyosis", FOREVER)) == [200]
    deadline = time.monotonic() + HANG_TIMEOUT
    while '"route":"codes"' not in (log := stack.log.read_text()):
        assert time.monotonic() < deadline, log
        time.sleep(0.05)
    assert not any(word in log for word in ("ichthyosis", "one more", FOREVER, CONSULTATION))
