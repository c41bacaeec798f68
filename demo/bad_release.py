"""A rollout in fast time that meets a bad release: it goes up by itself, falls back by itself, and is taken up again.

Everything in it is real: the gateway's own guard, stages and history, callers over HTTP, a native side that begins to
fail. Only the pace is not: stages bake for seconds instead of days. The ops pages show it while it happens.
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

from demo.child import ChildError
from demo.releases import VARIABLE
from proxy.config.loading import load
from proxy.config.models import Config
from proxy.rollout import actions
from proxy.rollout.mongo import MongoStore
from proxy.runtime.database import Database

ROUTE: Final = "prompts.list"
BREAKS_AT: Final = 25.0
"""The share, in percent, at which the bad release goes out."""
_NURSE: Final = {
    "username": "scenario",
    "email": "scenario@clinic.example",
    "password": "correct horse",
    "role": "clinician",
}
_LOOK_S: Final = 0.25
_PATIENCE_S: Final = 30.0


@dataclass(frozen=True)
class Pace:
    """Seconds of a stage's bake time, of the guard's window and of the wait at the cap; and requests a second."""

    bake_time: float = 6.0
    window: float = 6.0
    at_cap: float = 20.0
    rate: float = 120.0
    stages: str = "1%, 10%, 25%, 50%, 75%, 100%"


@dataclass(frozen=True)
class Ops:
    """Where the ops listener is, and its token."""

    url: str
    token: str = field(repr=False)

    def open(self) -> httpx.AsyncClient:
        """Return a client that sends the token."""
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=_PATIENCE_S)


class Scenario:
    """What plays on a stack: `config` is its routing file, `environment` what the gateway needs to know besides."""

    def __init__(self, place: Path, pace: Pace = Pace()) -> None:
        self.config: Final = place / "bad-release.yaml"
        self.bad: Final = place / "bad-release"
        self.pace: Final = pace
        place.mkdir(parents=True, exist_ok=True)
        self.bad.unlink(missing_ok=True)
        self.config.write_text(_ROUTING.format(pace=pace, revision=f"{time.time():.0f}"))

    @property
    def environment(self) -> dict[str, str]:
        return {VARIABLE: str(self.bad.absolute())}


_ROUTING: Final = """\
# Written by `scribe-proxy demo --scenario bad-release`, and anew each time.
legacy: {{url: "${{LEGACY_URL}}"}}
native: demo.releases:app
bucketing: {{key: header:x-client-id, salt: scenario}}
shadow: {{max_cpu_wait: 100%}}
routes:
  - name: prompts.list
    match: GET /api/prompts
    revision: "{revision}"
    shadow: 20%
    guard: {{window: {pace.window}s, minimum: 20, min_callers: 1, cooldown: 5s}}
    rollout: {{stages: [{pace.stages}], bake_time: {pace.bake_time}s, minimum: 5}}
"""


class Play(threading.Thread):
    """The scenario on a running stack, told line by line; `done` once it is over (then only callers go on)."""

    def __init__(self, scenario: Scenario, url: str, ops: Ops, mongodb_url: str, console: Console) -> None:
        super().__init__(name="scenario", daemon=True)
        self.done = threading.Event()
        self._scenario, self._url, self._ops = scenario, url, ops
        self._mongodb_url, self._console = mongodb_url, console
        self._stopping = threading.Event()
        self._fault: Exception | None = None
        self._began = time.monotonic()
        self._told: float | None = None

    def check(self) -> None:
        """Raise ChildError if it has failed."""
        if self._fault is not None:
            raise ChildError(f"the scenario broke down: {self._fault!r}")

    def stop(self) -> None:
        """Break off, and wait until nothing is under way any more."""
        self._stopping.set()
        if self.ident is not None:
            self.join()

    def run(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:  # told by `check`, in the thread that can do something about it
            self._fault = error

    async def _run(self) -> None:
        async with _crowd(self._url, self._scenario.pace.rate), self._ops.open() as ops:
            telling = asyncio.create_task(self._tell(ops))
            await asyncio.wait({telling, asyncio.create_task(self._stopped())}, return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                telling.result()
                self.done.set()
                await self._stopped()
            telling.cancel()

    async def _stopped(self) -> None:
        """Return once `stop` was called. A thread that waited for it would keep the loop from ending after a fault."""
        while not self._stopping.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(_LOOK_S)

    async def _tell(self, ops: httpx.AsyncClient) -> None:
        self._say(
            f"release of {ROUTE}: stages {self._scenario.pace.stages}, bake time {self._scenario.pace.bake_time:g} s"
        )
        await self._rise(ops, lambda now: now["effective"] >= BREAKS_AT)
        await asyncio.sleep(self._scenario.pace.bake_time / 3)
        self._scenario.bad.touch()
        self._say("[red]a bad release is out[/]: native fails every other request")
        broke = time.monotonic()
        now = await self._rise(ops, lambda now: now["cap"] is not None)
        took = time.monotonic() - broke
        self._say(f"[bold]the guard took it back[/] after {took:.1f} s: {now['cap']['by']['reason']}")
        await self._stay_at_cap()
        self._scenario.bad.unlink()
        self._say("native is mended; somebody acknowledges")
        await self._acknowledge()
        await self._rise(ops, lambda now: now["cap"] is None and now["effective"] > 0)
        await self._rise(ops, lambda now: now["effective"] == 100)
        self._say(f"[green]all callers are native.[/] The whole story: {self._ops.url}/history")

    async def _stay_at_cap(self) -> None:
        """Leave time to look at the capped route."""
        url, seconds = self._ops.url, self._scenario.pace.at_cap
        self._say(f"it stays so for {seconds:g} s; see {url}/routes/{ROUTE}/live and {url}/history (with OPS_TOKEN)")
        await asyncio.sleep(seconds)

    async def _rise(self, ops: httpx.AsyncClient, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Tell each change of the share until something is true of the route; gives what it is then."""
        while True:
            now = await _route(ops)
            if now["effective"] != self._told:
                self._say(f"{now['effective']:g}% of callers are native: {now['reason']}")
                self._told = now["effective"]
            if until(now):
                return now
            await asyncio.sleep(_LOOK_S)

    async def _acknowledge(self) -> None:
        config: Config = load(self._scenario.config, {"LEGACY_URL": self._url, "MONGODB_URL": self._mongodb_url})
        database = Database.of(config.mongodb)
        assert database is not None
        try:
            step = actions.ack(at_once=True)
            await actions.carry_out(MongoStore(database), config.routes[:1], step, "demo", "the release was mended")
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
async def _crowd(url: str, rate: float) -> AsyncIterator[None]:
    """Many callers who list their prompts, `rate` times a second, until the block is left."""
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
        under_way = asyncio.Semaphore(32)
        while True:
            await under_way.acquire()
            group.create_task(_ask(client, under_way))
            await asyncio.sleep(random.expovariate(rate))


async def _ask(client: httpx.AsyncClient, under_way: asyncio.Semaphore) -> None:
    caller = f"caller-{random.randrange(100_000)}"  # noqa: S311 - as above
    with contextlib.suppress(httpx.HTTPError):
        await client.get("/api/prompts", headers={"x-client-id": caller})
    under_way.release()
