"""The target of an attack: `scribe-proxy serve` before the Node legacy, with a mongod behind a relay.

    async def attack(target: Target) -> Figures:
        async with target.traffic() as others:      # other clients, from another address; first without an attack
            ...                                     # connections to 127.0.0.1:target.port
            figures = await others.figures()
        return {**figures, "RSS, MiB": target.peak_rss()}

Routes: native answers `/users/*`, `/api/notes/*`, `/api/v1/*` and the WebSocket `/transcription-stream`; legacy
answers all others, such as `GET /` and `GET /api/prompts`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from demo.ports import free_port
from demo.services import DemoLegacy, backend_environment
from proxy.types import JSON
from tests.chaos.figures import DEFAULT_SETUP, Setup, Stdout
from tests.chaos.traffic import REQUESTS, Traffic, occupied_core
from tests.support.backends import NOWHERE, token_of
from tests.support.mongodb_relay import Relay
from tests.support.sockets import scripted
from tests.support.waiting import BRIEFLY_IDLE, HANG_TIMEOUT

PROGRAM = Path(sys.executable).with_name("scribe-proxy")
ROUTING = """\
legacy: {{url: http://127.0.0.1:{legacy}}}
native: handlers.app:app
bucketing: {{key: header:x-caller}}
access_log: {access_log}
mongodb: {{url: "{mongodb}", database: {database}}}
{settings}
routes:
  - {{name: welcome, match: GET /, native: 0%}}
  - {{name: prompts, match: GET /api/prompts, native: 0%}}
  - {{name: users, match: "* /users/*", native: 100%}}
  - {{name: notes, match: "* /api/notes/*", native: 100%}}
  - {{name: v1, match: "* /api/v1/*", native: 100%}}
  - {{name: stream, match: WS /transcription-stream, native: 100%}}
"""


@dataclass
class Target:
    """A running gateway with what it needs. `port` is its public port, `ops` that of the ops pages."""

    port: int
    ops: int
    file: Path
    mongodb: Relay
    legacy: DemoLegacy
    process: asyncio.subprocess.Process
    client: httpx.AsyncClient
    token: str = field(default_factory=lambda: token_of({"userID": "0123456789abcdef01234567", "author": "amara"}))

    @property
    def url(self) -> str:
        """The public origin."""
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def traffic(
        self, requests: Sequence[tuple[str, int]] = REQUESTS, quiet: float = 4.0, rate: float = 40.0
    ) -> AsyncIterator[Traffic]:
        """Run other clients' requests, `rate` a second; the first `quiet` seconds pass before this is entered.

        One core is kept busy during that time. Attackers and clients share this machine with the gateway, unlike in
        reality, and the work of an attacker must not count against the gateway.
        """
        async with Traffic.sending(self.url, rate, requests) as traffic:
            async with occupied_core():
                await asyncio.sleep(quiet)
            await traffic.end_quiet()
            yield traffic

    def pids(self) -> list[int]:
        """Return every process of the gateway: its own, and the workers and shadow processes below it."""
        return _family(self.process.pid)

    def legacy_pids(self) -> list[int]:
        """Return every process of the legacy."""
        assert self.legacy.pid is not None
        return _family(self.legacy.pid)

    def peak_rss(self) -> float:
        """Return the largest resident memory that one process of the gateway has had, in MiB."""
        return max(_status_kib(pid, "VmHWM") for pid in self.pids()) / 1024

    async def page(self, path: str) -> JSON:
        """Return the JSON of an ops page."""
        page: JSON = (await self.client.get(f"http://127.0.0.1:{self.ops}{path}")).json()
        return page


@dataclass(frozen=True)
class Site:
    """The parts that all attacks share: MongoDB's URL, the name of a database, the legacy, a directory."""

    mongodb: str
    database: str
    legacy: DemoLegacy
    directory: Path

    @asynccontextmanager
    async def target(self, setup: Setup = DEFAULT_SETUP) -> AsyncIterator[Target]:
        """Start a gateway of its own for one attack."""
        async with AsyncExitStack() as stack:
            stdout = stack.enter_context(_output(setup.stdout))
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self.directory)))
            relay = stack.enter_context(Relay(self.mongodb))
            relay.mend()
            file = directory / "routing.yaml"
            file.write_text(
                ROUTING.format(
                    legacy=await stack.enter_async_context(_hung_legacy()) if setup.hung else self.legacy.port,
                    mongodb=relay.url,
                    database=self.database,
                    settings=setup.settings,
                    access_log="false" if setup.stdout == "null" else "true",
                )
            )
            environment = {**os.environ, **backend_environment(relay.url, NOWHERE, self.database)}
            started = await stack.enter_async_context(_serve(file, setup.options, environment, stdout))
            client = httpx.AsyncClient(trust_env=False, timeout=HANG_TIMEOUT, limits=BRIEFLY_IDLE)
            await stack.enter_async_context(client)
            yield Target(*started[1:], file, relay, self.legacy, started[0], client)


@contextmanager
def _output(kind: Stdout) -> Iterator[int]:
    """Open a standard output for the gateway: `unread` is a pipe that nobody reads, `closed` one without a reader."""
    if kind in ("null", "full"):
        with open("/dev/full" if kind == "full" else os.devnull, "wb") as file:
            yield file.fileno()
        return
    reader, writer = os.pipe()
    if kind == "closed":
        os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)
        if kind == "unread":
            os.close(reader)


@asynccontextmanager
async def _hung_legacy() -> AsyncIterator[int]:
    """Start a legacy that accepts connections and never answers; yield its port."""
    async with scripted(_never_answer) as port:
        yield port


async def _never_answer(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(65_536):
        pass


@asynccontextmanager
async def _serve(
    file: Path, options: tuple[str, ...], environment: Mapping[str, str], stdout: int
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int, int]]:
    port, ops = free_port(), free_port()
    command = [str(PROGRAM), "serve", "--config", str(file), "--port", str(port), "--ops-port", str(ops), *options]
    with (file.parent / "stderr").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=stdout, stderr=errors, start_new_session=True, env=environment
        )
    try:
        async with asyncio.timeout(HANG_TIMEOUT):
            await _until_healthy(process, ops)
        yield process, port, ops
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _until_healthy(process: asyncio.subprocess.Process, ops: int) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        while process.returncode is None:
            with contextlib.suppress(httpx.TransportError):
                await client.get(f"http://127.0.0.1:{ops}/healthz")
                return
            await asyncio.sleep(0.05)
    raise RuntimeError("the gateway did not start")


def _family(pid: int) -> list[int]:
    """Return a process and all processes below it."""
    parents, family = dict(_parents()), {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sorted(family)


def _parents() -> Iterator[tuple[int, int]]:
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(directory.name), int((directory / "stat").read_text().rpartition(")")[2].split()[1])


def _status_kib(pid: int, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    return 0
