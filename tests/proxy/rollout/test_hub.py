"""State that workers without a MongoDB share through their supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.config.loading import parse
from proxy.database.database import Unavailable
from proxy.gateway.bucketing import Limit
from proxy.rollout import actions
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.controller import RolloutController
from proxy.rollout.hub import HubStore, StateHub
from proxy.rollout.in_force import ControllerHooks
from proxy.rollout.model import RouteState
from proxy.types import BasisPoints
from tests.support.command_line import served
from tests.support.gateway_process import config, get, legacy
from tests.support.rollout_states import FIRST, next_of
from tests.support.sockets import exchange, scripted
from tests.support.waiting import HANG_TIMEOUT
from tests.support.worker_processes import until_answered, workers_of

ROUTING = parse("legacy: {url: http://a}\nnative: b:c\nroutes: [{name: all, match: '* /*', native: 100%}]", {})
TOKEN = "0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sock"


@contextlib.asynccontextmanager
async def running(path: Path, number: int, **limits: Any) -> AsyncIterator[tuple[StateHub, list[HubStore]]]:
    hub = StateHub(path, **limits)
    hub.start()
    stores = [HubStore(path) for _ in range(number)]
    try:
        yield hub, stores
    finally:
        for store in stores:
            await store.close()
        hub.stop()


class Worker:
    """A controller on a store, and the limits that it has applied."""

    def __init__(self, store: HubStore) -> None:
        self.limits: dict[str, Limit] = {}
        self.controller = RolloutController(ROUTING, store, StatsRegistry(), ControllerHooks(apply=self._apply))

    def _apply(self, limits: object) -> None:
        self.limits = dict(limits)  # type: ignore[call-overload]


@contextlib.asynccontextmanager
async def workers(stores: list[HubStore]) -> AsyncIterator[list[Worker]]:
    started = [Worker(store) for store in stores]
    for worker in started:
        await worker.controller.start()
    try:
        yield started
    finally:
        for worker in started:
            await worker.controller.stop()


async def test_confirmed_action_is_in_force_in_every_worker(path: Path) -> None:
    async with running(path, 4) as (_, stores), workers(stores) as started:
        for step, share in ((actions.rollback(), 0), (actions.ack(at_once=True), None)) * 5:
            await started[0].controller.act("all", step, "ada", "because")
            limits = [worker.limits.get("all") for worker in started]
            assert [limit and limit.cap for limit in limits] == [share] * 4


async def test_concurrent_actions_of_workers_end_in_one_state(path: Path) -> None:
    async with running(path, 4) as (_, stores), workers(stores) as started:
        outcomes = await asyncio.gather(
            *(
                worker.controller.act("all", actions.rollback(BasisPoints(n)), "ada", "because")
                for n, worker in enumerate(started)
            ),
            return_exceptions=True,
        )
        assert any(isinstance(outcome, RouteState) for outcome in outcomes)
        assert len({tuple(sorted(worker.limits.items())) for worker in started}) == 1


async def test_worker_that_starts_later_has_the_present_state(path: Path) -> None:
    async with running(path, 2) as (_, stores):
        async with workers(stores[:1]) as (first,):
            await first.controller.act("all", actions.rollback(), "ada", "because")
        async with workers(stores[1:]) as (later,):
            assert later.limits["all"].cap == 0


async def test_concurrent_first_calls_share_one_connection(path: Path) -> None:
    async with running(path, 1) as (_, (store,)):
        await asyncio.gather(*(store.now() for _ in range(5)))
        sockets = [line for line in Path("/proc/net/unix").read_text().splitlines() if line.endswith(f" {path}")]
        assert len(sockets) == 2  # the listener, and the connection that it has accepted


async def test_change_is_sent_to_the_other_workers_only(path: Path) -> None:
    async with running(path, 2) as (_, (one, other)), one.following() as changes, other.following() as others:
        assert await one.replace(FIRST)
        assert await anext(others) == FIRST
        assert await other.replace(next_of(FIRST))
        assert await anext(changes) == next_of(FIRST)


async def test_worker_without_an_acknowledgement_delays_others_briefly(path: Path) -> None:
    async with running(path, 2, apply_timeout=0.2) as (_, (store, stuck)), stuck.following() as changes:
        assert await store.replace(FIRST)
        assert await anext(changes) == FIRST  # and is never applied, as far as the supervisor knows
        assert await store.replace(next_of(FIRST))


async def test_worker_that_ends_unacknowledged_delays_no_other(path: Path) -> None:
    async with running(path, 2, apply_timeout=1e6) as (_, (store, ending)), ending.following() as changes:
        changing = asyncio.create_task(store.replace(FIRST))
        assert await anext(changes) == FIRST
        await ending.close()
        assert await changing  # CALL_TIMEOUT would raise


async def test_worker_far_behind_is_disconnected(path: Path) -> None:
    async with running(path, 2, apply_timeout=0.0, max_unapplied=5) as (_, (store, stuck)):
        async with stuck.following() as changes:
            for number in range(8):
                assert await store.replace(replace(FIRST, key=f"route-{number}"))
            with pytest.raises(Unavailable):
                async for _ in changes:
                    await asyncio.sleep(0)
        assert len(await stuck.states()) == 8  # connected again


async def test_stopped_supervisor_is_unavailable(path: Path) -> None:
    with pytest.raises(Unavailable):
        await HubStore(path).states()
    async with running(path, 1) as (hub, (store,)):
        await store.states()
        async with store.following() as changes:
            hub.stop()
            with pytest.raises(Unavailable):
                await anext(changes)


@pytest.mark.parametrize("method", ["__init__", "following", "nonsense"])
async def test_method_that_is_not_of_the_store_is_refused(path: Path, method: str) -> None:
    async with running(path, 1) as (_, (store,)):
        with pytest.raises(Unavailable, match="ValueError"):
            await store.request(method)
        assert await store.states() == {}


async def test_message_over_the_bound_closes_that_connection_alone(path: Path) -> None:
    async with running(path, 2, max_batch=10_000) as (_, (one, other)):
        await other.states()
        with pytest.raises(Unavailable):
            async with asyncio.timeout(HANG_TIMEOUT):
                await one.request("state", "x" * 20_000)
        assert await other.states() == {}


async def test_stopped_hub_removes_its_socket_and_thread(path: Path) -> None:
    async with running(path, 1) as (_, (store,)):
        await store.states()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "state-hub"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_rollback_applies_to_all_workers_and_replacements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS_TOKEN", TOKEN)
    monkeypatch.delenv("MONGODB_URL", raising=False)
    file = tmp_path / "routing.yaml"
    async with scripted(legacy) as port:
        file.write_text(config(port, "100%", extra="mongodb: {url: ''}"))
        async with served(file, "--workers", "2") as (process, public, ops):

            async def answers() -> set[bytes]:
                return {body for _, body in await asyncio.gather(*(get(public) for _ in range(40)))}

            assert await answers() == {b"native"}
            assert (await act(ops, "rollback")).startswith(b"HTTP/1.1 200")
            assert await answers() == {b"legacy"}
            before = workers_of(process.pid)
            os.kill(min(before), signal.SIGKILL)

            async def replaced() -> bool:
                return len(workers_of(process.pid) - before) == 1 and await answers() == {b"legacy"}

            await until_answered(replaced, 120)
            os.kill(max(before), signal.SIGKILL)  # the replacement alone answers now
            await until_answered(lambda: _is(answers, {b"legacy"}), 120)
            assert (await act(ops, "ack", at_once="yes")).startswith(b"HTTP/1.1 200")
            assert await answers() == {b"native"}


async def _is(answers: object, expected: set[bytes]) -> bool:
    return bool(await answers() == expected)  # type: ignore[operator]


async def act(ops: int, step: str, **form: str) -> bytes:
    body = "&".join(f"{name}={value}" for name, value in {"actor": "ada", "reason": "because", **form}.items())
    head = (
        f"POST /routes/all/{step} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nAccept: application/json\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return await exchange(ops, (head + body).encode())
