"""Each planted fault is named in the shadow's reports, by `verify` and in CI, for reads and writes; nothing else is.

Real parts: two backends behind sockets, a gateway with its shadow process, MongoDB. All faults go through at once, each
on two routes of its own (`r3` reads, `w3` writes): one start, one report.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import httpx
import pytest
import pytest_asyncio
from click.testing import CliRunner

from proxy.backends.legacy import PoolLimits, Timeouts, Upstream
from proxy.backends.native import Native
from proxy.cli.main import main
from proxy.config.loading import parse
from proxy.config.models import Config
from proxy.database.database import Database
from proxy.gateway.gateway import Gateway
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.recordings.model import Recordings, scenario
from proxy.recordings.player import Player
from proxy.recordings.recorder import Recorder, Script
from proxy.reports.models import Span
from proxy.reports.reader import ReportReader
from proxy.shadow import ShadowClient
from proxy.shadow.timings import ShadowTimings
from proxy.types import JSON
from tests.support import faulty_clinic
from tests.support.backends import scratch_database
from tests.support.faulty_clinic import FAULTS, SOUND
from tests.support.planted_faults import PlantedFault
from tests.support.sockets import serving
from tests.support.waiting import BRIEFLY_IDLE, HANG_TIMEOUT, until, until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTES: Final[Mapping[str, tuple[str, str, PlantedFault]]] = {
    f"{method[0].lower()}{number}": (method, f"/{number}/notes", fault)
    for number, fault in (*enumerate(FAULTS), ("sound", SOUND))
    for method in ("GET", "PATCH")
}
"""Method, path and fault by the name of the route."""
NamedFaults = Mapping[str, frozenset[tuple[str, str]]]
"""Fields and kinds by route."""
LINE: Final = re.compile(r"[0-9a-f]{16} (?:new )?(\S+) \((\w+), \w+\): 1", re.ASCII)


def routing(legacy: int, mongodb_url: str, database: str) -> str:
    routes = "\n".join(
        f"  - {{name: {name}, match: {method} {path}, shadow: {{share: 100%, writes: dry_run}}}}"
        if method == "PATCH"
        else f"  - {{name: {name}, match: {method} {path}, shadow: 100%}}"
        for name, (method, path, _) in ROUTES.items()
    )
    return f"""
legacy: {{url: "http://127.0.0.1:{legacy}"}}
native: tests.support.faulty_clinic:native
mongodb: {{url: "{mongodb_url}", database: {database}}}
reports: {{redact: values}}
shadow: {{max_cpu_wait: 100%, noise: 0%, deadline: {HANG_TIMEOUT:.0f}s, dry_run_timeout: {HANG_TIMEOUT:.0f}s}}
routes:
{routes}
"""


class Clinic:
    """Both backends behind their ports."""

    def __init__(self, legacy: int, native: int, mongodb_url: str, database: str, directory: Path) -> None:
        self._ports = legacy, native
        self._file = directory / "routing.yaml"
        self._file.write_text(routing(legacy, mongodb_url, database))
        self._config = parse(self._file.read_text(), {})
        self._database = Database(mongodb_url, database)
        self._since = time.time() - 60

    async def shadow(self) -> NamedFaults:
        """Send each request through a gateway, and return what its reports name."""
        compared: list[Any] = []
        async with AsyncExitStack() as running:
            running.push_async_callback(self._database.close)
            port = await _gateway(running, self._config, compared)
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", limits=BRIEFLY_IDLE, timeout=HANG_TIMEOUT
            ) as client:
                for method, path, fault in ROUTES.values():
                    answer = await client.request(method, path)
                    assert answer.status_code == (200 if fault.answer == "note" else 404)
            await until(lambda: sum(one.number for one in compared) == len(ROUTES))
            reader = ReportReader(self._database)

            async def stored() -> bool:
                routes = await reader.routes(self._span)
                return sum(one.compared for one in routes) == len(ROUTES)

            await until_async(stored)
            fields = await reader.fields(self._span)
        named: dict[str, set[tuple[str, str]]] = {name: set() for name in ROUTES}
        for one in fields:
            named[one.route].add((one.field, one.kind))
        return {name: frozenset(differences) for name, differences in named.items()}

    @property
    def _span(self) -> Span:
        return Span(self._since, time.time() + 60)

    async def verify(self) -> NamedFaults:
        """Record each request from legacy, and return what `verify` names where native answers it."""
        urls = [f"http://127.0.0.1:{port}" for port in self._ports]
        named = {}
        for name, (method, path, _) in ROUTES.items():
            steps: list[JSON] = [{"name": name, "request": {"method": method, "path": path, "headers": {}}}]
            recorded = await Recorder(urls[0]).record(Script.read({"scenario": name, "steps": steps}))
            report = await Player(urls[1]).play(Recordings((scenario(recorded),)))
            named[name] = frozenset((one.field, one.kind) for one in report.results[0].differences)
        return named

    def gate(self) -> NamedFaults:
        """Return what the JUnit file of the gate names: CI's view of the same reports."""
        junit = self._file.with_name("report.xml")
        command = [
            "report",
            "--config",
            str(self._file),
            "--since",
            "1h",
            "--max-mismatch",
            "0%",
            "--junit",
            str(junit),
        ]
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 1, result.output
        return {
            str(case.get("name")): frozenset(LINE.findall(case.findtext("failure", "")))
            for case in ElementTree.parse(junit).iter("testcase")
        }


async def _gateway(running: AsyncExitStack, config: Config, compared: list[Any]) -> int:
    """Start a gateway whose shadow process compares; return its port."""
    upstream, native = Upstream(config.legacy.url, Timeouts(), PoolLimits(64)), Native(str(config.native))
    running.callback(upstream.close)
    await native.start()
    running.push_async_callback(native.stop)
    shadow = ShadowClient(
        config, Path("nowhere"), [compared.append], timings=ShadowTimings(heartbeat_timeout=HANG_TIMEOUT, niceness=0)
    )
    await shadow.start()
    running.push_async_callback(shadow.stop)
    port = await running.enter_async_context(
        serving(Gateway(RoutingSnapshot.of(config, upstream, native), (), None, shadow))
    )
    await until(lambda: shadow.ready)
    return port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def named_faults(
    mongodb_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, NamedFaults]]:
    """Yield the differences that the shadow's reports, `verify` and the gate in CI name, by source."""
    with scratch_database(mongodb_url) as database:
        async with serving(faulty_clinic.legacy) as legacy, serving(faulty_clinic.native) as native:
            clinic = Clinic(legacy, native, mongodb_url, database.name, tmp_path_factory.mktemp("clinic"))
            shadow, verify = await clinic.shadow(), await clinic.verify()
        yield {"shadow": shadow, "verify": verify, "CI": await asyncio.to_thread(clinic.gate)}


@pytest.mark.parametrize("source", ["shadow", "verify", "CI"])
@pytest.mark.slow
async def test_each_fault_is_named_by_source(named_faults: dict[str, NamedFaults], source: str) -> None:
    expected = {name: fault.expected for name, (_, _, fault) in ROUTES.items()}
    assert named_faults[source] == expected
