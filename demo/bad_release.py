"""Scenario of a bad release: a rollout promotes itself, is rolled back by its guard, and continues after the fix.

All parts are real: the gateway's guard, stages and history, callers over HTTP, and a native app that starts to fail.
Only the times are short: bake times are seconds instead of days. The ops pages show the rollout while it runs.
"""

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console

from demo.managed_process import ManagedProcessError
from demo.releases import VARIABLE
from proxy.config.loading import load
from proxy.config.models import Config
from proxy.database.database import Database
from proxy.rollout import actions
from proxy.rollout.mongo import MongoStore

ROUTE: Final = "prompts.list"
BREAKS_AT: Final = 25.0
"""The share, in percent, at which the bad release is deployed."""
_NURSE: Final = {
    "username": "scenario",
    "email": "scenario@clinic.example",
    "password": "correct horse",
    "role": "clinician",
}
_POLL_INTERVAL: Final = 0.25
_TIMEOUT: Final = 30.0


@dataclass(frozen=True)
class Pace:
    """Seconds of a stage's bake time, of the guard's window and of the wait at the cap, and requests per second.

    `shadow`: the shadow share. A rollout with a shadow is promoted only after comparisons, which a busy machine delays.
    """

    bake_time: float = 6.0
    window: float = 6.0
    at_cap: float = 20.0
    rate: float = 120.0
    stages: str = "1%, 10%, 25%, 50%, 75%, 100%"
    shadow: str = "20%"


@dataclass(frozen=True)
class Ops:
    """The URL of the ops listener, and its token."""

    url: str
    token: str = field(repr=False)

    def open(self) -> httpx.AsyncClient:
        """Return a client that sends the token."""
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=_TIMEOUT)


class Scenario:
    """The scenario's files: `config` is its routing file; `environment` is added to the gateway's."""

    def __init__(self, directory: Path, pace: Pace = Pace()) -> None:
        self.config: Final = directory / "bad-release.yaml"
        self.bad: Final = directory / "bad-release"
        self.pace: Final = pace
        directory.mkdir(parents=True, exist_ok=True)
        self.bad.unlink(missing_ok=True)
        self.config.write_text(_ROUTING.format(pace=pace, revision=f"{time.time():.0f}"))

    @property
    def environment(self) -> dict[str, str]:
        return {VARIABLE: str(self.bad.absolute())}


_ROUTING: Final = """\
# Written by each `scribe-proxy demo --scenario bad-release`.
legacy: {{url: "${{LEGACY_URL}}"}}
native: demo.releases:app
bucketing: {{key: header:x-client-id, salt: scenario}}
shadow: {{max_cpu_wait: 100%}}
routes:
  - name: prompts.list
    match: GET /api/prompts
    revision: "{revision}"
    shadow: {pace.shadow}
    guard: {{window: {pace.window}s, minimum: 20, min_callers: 1, cooldown: 5s}}
    rollout: {{stages: [{pace.stages}], bake_time: {pace.bake_time}s, minimum: 5}}
"""


class Play(threading.Thread):
    """A run of the scenario on a stack, printed line by line. `done` is set at its end; the callers continue."""

    def __init__(self, scenario: Scenario, url: str, ops: Ops, mongodb_url: str, console: Console) -> None:
        super().__init__(name="scenario", daemon=True)
        self.done = threading.Event()
        self._scenario, self._url, self._ops = scenario, url, ops
        self._mongodb_url, self._console = mongodb_url, console
        self._stopping = threading.Event()
        self._fault: Exception | None = None
        self._began = time.monotonic()
        self._printed: float | None = None

    def check(self) -> None:
        """Raise ManagedProcessError if the scenario has failed."""
        if self._fault is not None:
            raise ManagedProcessError(f"the scenario failed: {self._fault!r}")

    def stop(self) -> None:
        """Stop, and wait for the end of the thread."""
        self._stopping.set()
        if self.ident is not None:
            self.join()

    def run(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:  # raised by `check`, in the thread that handles it
            self._fault = error

    async def _run(self) -> None:
        async with _callers(self._url, self._scenario.pace.rate), self._ops.open() as ops:
            story = asyncio.create_task(self._play(ops))
            await asyncio.wait({story, asyncio.create_task(self._stopped())}, return_when=asyncio.FIRST_COMPLETED)
            if story.done():
                story.result()
                self.done.set()
                await self._stopped()
            story.cancel()

    async def _stopped(self) -> None:
        """Poll until `stop` is called: a waiting thread would delay the end of the loop after a fault."""
        while not self._stopping.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(_POLL_INTERVAL)

    async def _play(self, ops: httpx.AsyncClient) -> None:
        self._say(
            f"release of {ROUTE}: stages {self._scenario.pace.stages}, bake time {self._scenario.pace.bake_time:g} s"
        )
        await self._follow_until(ops, lambda now: now["effective"] >= BREAKS_AT)
        await asyncio.sleep(self._scenario.pace.bake_time / 3)
        self._scenario.bad.touch()
        self._say("[red]a bad release is deployed[/]: native fails every other request")
        broke = time.monotonic()
        now = await self._follow_until(ops, lambda now: now["cap"] is not None)
        took = time.monotonic() - broke
        self._say(f"[bold]the guard rolled it back[/] after {took:.1f} s: {now['cap']['by']['reason']}")
        await self._stay_at_cap()
        self._scenario.bad.unlink()
        self._say("native is fixed; a person acknowledges the cap")
        await self._acknowledge()
        await self._follow_until(ops, lambda now: now["cap"] is None and now["effective"] > 0)
        await self._follow_until(ops, lambda now: now["effective"] == 100)
        self._say(f"[green]native answers all callers.[/] The history: {self._ops.url}/history")

    async def _stay_at_cap(self) -> None:
        """Wait, so that people can view the capped route."""
        url, seconds = self._ops.url, self._scenario.pace.at_cap
        self._say(f"the cap stays for {seconds:g} s; see {url}/routes/{ROUTE}/live and {url}/history (with OPS_TOKEN)")
        await asyncio.sleep(seconds)

    async def _follow_until(self, ops: httpx.AsyncClient, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Print each change of the share until a condition on the route holds; return the route."""
        while True:
            now = await _route(ops)
            if now["effective"] != self._printed:
                self._say(f"native answers {now['effective']:g}% of callers: {now['reason']}")
                self._printed = now["effective"]
            if until(now):
                return now
            await asyncio.sleep(_POLL_INTERVAL)

    async def _acknowledge(self) -> None:
        config: Config = load(self._scenario.config, {"LEGACY_URL": self._url, "MONGODB_URL": self._mongodb_url})
        database = Database.of(config.mongodb)
        assert database is not None
        try:
            step = actions.ack(at_once=True)
            await actions.carry_out(MongoStore(database), config.routes[:1], step, "demo", "the release was fixed")
        finally:
            await database.close()

    def _say(self, line: str) -> None:
        self._console.print(f"[dim]{time.monotonic() - self._began:5.1f} s[/]  {line}", soft_wrap=True)


async def _route(ops: httpx.AsyncClient) -> dict[str, Any]:
    answer = await ops.get("/live.json")
    answer.raise_for_status()
    now: dict[str, Any] = answer.json()["routes"][0]
    return now


@contextlib.asynccontextmanager
async def _callers(url: str, rate: float) -> AsyncIterator[None]:
    """List prompts as many callers, `rate` times per second, until the end of the `with` block."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
        await client.post("/users/register", json=_NURSE)
        answer = await client.post("/users/login", json={name: _NURSE[name] for name in ("email", "password")})
        client.headers["authorization"] = f"Bearer {answer.json()['token']}"
        calling = asyncio.create_task(_call(client, rate))
        try:
            yield
        finally:
            calling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await calling


async def _call(client: httpx.AsyncClient, rate: float) -> None:
    async with asyncio.TaskGroup() as group:
        in_flight = asyncio.Semaphore(32)
        while True:
            await in_flight.acquire()
            group.create_task(_request(client, in_flight))
            await asyncio.sleep(random.expovariate(rate))


async def _request(client: httpx.AsyncClient, in_flight: asyncio.Semaphore) -> None:
    caller = f"caller-{random.randrange(100_000)}"  # noqa: S311 - as above
    with contextlib.suppress(httpx.HTTPError):
        await client.get("/api/prompts", headers={"x-client-id": caller})
    in_flight.release()
