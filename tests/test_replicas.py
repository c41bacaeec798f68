"""Three gateway processes before one legacy, with one MongoDB: each follows the others' changes.

This is one test, because starting the three takes most of the time.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.mongod import Mongod, find_mongod
from tests.support.command_line import served
from tests.support.gateway_process import legacy
from tests.support.sockets import scripted
from tests.support.waiting import BRIEFLY_IDLE, HANG_TIMEOUT

FILE = """\
legacy: {{url: http://127.0.0.1:{legacy}}}
native: tests.support.replica_native:app
mongodb: {{url: "{mongodb}", database: replicas}}
bucketing: {{key: header:x-caller}}
access_log: false
routes:
  - {{name: a, match: GET /a, native: 50%, guard: {{window: 5s, minimum: 30, min_callers: 1, cooldown: 1s}}}}
  - {{name: b, match: GET /b, native: 50%, guard: {{window: 5s, minimum: 30, min_callers: 1, cooldown: 1s}}}}
"""


@dataclass
class Replica:
    process: asyncio.subprocess.Process
    port: int
    ops: int
    client: httpx.AsyncClient

    async def send(self, path: str, caller: int, **headers: str) -> httpx.Response:
        return await self.client.get(
            f"http://127.0.0.1:{self.port}{path}", headers={"x-caller": f"{caller}", **headers}
        )

    async def share(self, name: str) -> float:
        """Return the share in force, in percent."""
        live = (await self.client.get(f"http://127.0.0.1:{self.ops}/live.json")).json()
        routes: dict[str, Any] = {route["name"]: route for route in live["routes"]}
        return float(routes[name]["effective"])

    async def members(self) -> list[dict[str, Any]]:
        """Return the processes on this process's live page, itself first."""
        members: list[dict[str, Any]] = (await self.client.get(f"http://127.0.0.1:{self.ops}/live.json")).json()[
            "members"
        ]
        return members

    async def until(self, name: str, holds: Callable[[float], bool]) -> None:
        async with asyncio.timeout(HANG_TIMEOUT):
            while not holds(await self.share(name)):
                await asyncio.sleep(0.02)

    async def fail(self, path: str) -> None:
        """Send enough requests for the guard; native fails each one that it gets. A connection may break."""

        async def send(caller: int) -> None:
            with suppress(httpx.TransportError):
                await self.send(path, caller, **{"x-break": "yes"})

        await asyncio.gather(*(send(caller) for caller in range(100)))

    async def fail_until_capped(self, path: str) -> None:
        """Fail until the guard has enough evidence within its window, on a machine of any speed."""
        async with asyncio.timeout(HANG_TIMEOUT):
            while await self.share(path.removeprefix("/")):
                await self.fail(path)


@dataclass
class Load:
    """Callers that use the replicas in turn; if a connection breaks, the GET is sent to the next one."""

    replicas: list[Replica]
    answers: int = 0
    repeated: int = 0
    errors: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def running(self, callers: int = 6) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._call(caller)) for caller in range(callers)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _call(self, caller: int) -> None:
        for number in itertools.count(caller):
            try:
                answer = await self.replicas[number % len(self.replicas)].send("/b", number)
            except httpx.TransportError:
                self.repeated += 1
                answer = await self.replicas[(number + 1) % len(self.replicas)].send("/b", number)
            if answer.status_code != 200:
                self.errors.append(answer.text)
            self.answers += 1
            await asyncio.sleep(0.01)

    async def more(self, answers: int) -> None:
        """Wait until so many more answers have come."""
        wanted = self.answers + answers
        async with asyncio.timeout(HANG_TIMEOUT):
            while self.answers < wanted:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def fleet(directory: Path, mongod: Mongod) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(scripted(legacy))
        client = await stack.enter_async_context(
            httpx.AsyncClient(timeout=10.0, trust_env=False, verify=False, limits=BRIEFLY_IDLE)
        )
        file = directory / "routing.yaml"
        file.write_text(FILE.format(legacy=port, mongodb=mongod.url))
        started = [asyncio.ensure_future(stack.enter_async_context(served(file))) for _ in range(3)]
        yield [Replica(*(await each), client) for each in started]


@pytest.mark.slow  # rollout/test_controller_replicas.py has each step, test_database_outage.py the outage
async def test_replicas_follow_each_other_and_lose_no_change(tmp_path: Path) -> None:
    if find_mongod() is None:
        pytest.skip("no mongod of its own to restart")
    async with Mongod(tmp_path / "data") as mongod, fleet(tmp_path, mongod) as replicas:
        load = Load(list(replicas))
        one, other, third = replicas
        async with load.running():
            # native fails on one of them: it caps, and so do the others
            await one.fail_until_capped("/a")
            for each in (other, third):
                await each.until("a", lambda share: share == 0)
            assert [await each.share("b") for each in replicas] == [50.0] * 3

            # each page shows all three processes, and which guard fails where
            async with asyncio.timeout(HANG_TIMEOUT):
                while len(await other.members()) < 3:
                    await asyncio.sleep(0.1)
            shown = await other.members()
            pids = {int(each["name"].rpartition(":")[2]) for each in shown}
            assert pids == {each.process.pid for each in replicas}
            assert all(each["age"] < 12 and not each["health"]["legacy_down"] for each in shown)

            # MongoDB is stopped: callers notice nothing, and the replica in which native fails still caps
            await asyncio.to_thread(mongod.stop)
            await load.more(100)
            await other.fail_until_capped("/b")
            assert [await each.share("b") for each in (one, third)] == [50.0] * 2
            assert [await each.share("a") for each in replicas] == [0.0] * 3

            # MongoDB is back: the others get the cap
            await asyncio.to_thread(mongod.start)
            for each in (one, third):
                await each.until("b", lambda share: share == 0)

            # one is killed: its callers get their answers from the others, which are not affected
            load.repeated = 0
            third.process.kill()
            await load.more(150)
            load.replicas.remove(third)
            await load.more(50)
        assert load.errors == []
        assert load.repeated > 0
