"""The clock that replicas share, and the stages that it times when it jumps."""

from __future__ import annotations

import pytest

from proxy.config.loading import parse
from proxy.config.models import Config
from proxy.rollout.actions import Step, ack, carry_out, rollback
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.announcer import ChangeAnnouncer
from proxy.rollout.clock import Clock, ClockJump
from proxy.rollout.evidence import EvidenceCollector
from proxy.rollout.in_force import ControllerHooks, SharesInForce
from proxy.rollout.store import MemoryStore
from proxy.rollout.synchroniser import StateSynchroniser
from proxy.rollout.transitions import guard_failed, pause, resume

DAY, HOUR = 86_400.0, 3600.0
CONFIG = parse(
    "legacy: {url: http://x}\nnative: a:b\nroutes:\n"
    "- {name: a, match: GET /a, rollout: {stages: [1%, 10%], bake_time: 7d, minimum: 1}}\n",
    {},
)
GUARDED = parse(
    "legacy: {url: http://x}\nnative: a:b\nroutes:\n- {name: a, match: GET /a, native: 50%, guard: {cooldown: 10m}}\n",
    {},
)


class SteppedStore(MemoryStore):
    """A store whose clock is set by hand."""

    wall = 1000 * DAY

    async def now(self) -> float:
        return self.wall


class Stepped:
    """A process whose monotonic clock, and the store's clock, are set by hand."""

    def __init__(self, config: Config = CONFIG, store: SteppedStore | None = None) -> None:
        self.steady, self.store = 0.0, store or SteppedStore()
        hooks = ControllerHooks(apply=lambda _: None)
        self.shares = SharesInForce(config, StatsRegistry(), hooks, Clock(steady=lambda: self.steady))
        self.shares.cache.loaded = True
        evidence = EvidenceCollector(self.shares.stats, self.store)
        announcer = ChangeAnnouncer(self.shares, self.store)
        self.synchroniser = StateSynchroniser(self.shares, self.store, evidence, announcer, 1.0, 60.0)

    async def after(self, seconds: float, jump: float = 0.0) -> list[str]:
        """Synchronise after some time, in which the store's clock jumps; return all kinds of changes, sorted."""
        self.store.wall += seconds + jump
        return await self.synchronise(seconds)

    async def synchronise(self, seconds: float) -> list[str]:
        """Synchronise after some time with the store's clock as it is; return all kinds of changes, sorted."""
        self.steady += seconds
        self.shares.cache.load(await self.store.states())
        await self.synchroniser.synchronise()
        return sorted(entry.kind for entry in await self.store.history(99) if entry.kind != "config")

    def share(self) -> int:
        return self.shares.effective(self.shares.config.routes[0]).share

    async def act(self, step: Step) -> None:
        self.shares.record(await carry_out(self.store, self.shares.config.routes, step, "Ada", "because"))

    async def capped_and_acknowledged(self) -> int:
        """Cap the route as its guard does, and acknowledge that; return the share."""
        route = self.shares.config.routes[0]
        capped = guard_failed(route, self.shares.cache.state(route), "errors 40%", self.shares.clock.now())
        assert capped is not None
        self.shares.apply_local(route, capped)
        await self.synchroniser.synchronise()
        await self.act(ack())
        return self.share()


@pytest.mark.parametrize("jump", [8 * DAY, 365 * DAY, -DAY / 2, -365 * DAY])
async def test_jump_of_the_clock_starts_the_bake_time_again(jump: float) -> None:
    process = Stepped()
    assert await process.after(0.0) == ["start"]
    assert await process.after(DAY) == ["start"]
    assert await process.after(2.0, jump) == ["gate", "start"]
    assert await process.after(2.0) == ["gate", "start"]
    state = process.shares.cache.state(CONFIG.routes[0])
    assert (state.stage, state.passing) == (100, process.store.wall - 2.0)
    assert state.missed is not None
    assert state.missed.reason == "the clock jumped, so the bake time starts again"


@pytest.mark.parametrize("jump", [8 * DAY, HOUR, -HOUR, -365 * DAY])
async def test_jump_of_the_clock_neither_ends_nor_prolongs_a_cooldown(jump: float) -> None:
    process = Stepped(GUARDED)
    await process.after(0.0)
    assert await process.capped_and_acknowledged() == 0
    await process.after(300.0)
    await process.after(2.0, jump)
    assert process.share() == 0  # 5 of 10 minutes have passed, whatever the clock says
    await process.after(297.0)
    assert process.share() == 0
    kinds = await process.after(2.0)
    assert (process.share(), kinds) == (5000, ["ack", "cap", "cap", "release"])


@pytest.mark.parametrize("jump", [DAY, -DAY])
async def test_two_replicas_move_a_cooldown_once(jump: float) -> None:
    first = Stepped(GUARDED)
    second = Stepped(GUARDED, first.store)
    await first.after(0.0)
    await second.synchronise(0.0)
    await first.capped_and_acknowledged()
    await first.after(300.0)
    await second.synchronise(300.0)
    await first.after(2.0, jump)
    assert await second.synchronise(2.0) == ["ack", "cap", "cap"]
    await first.after(297.0)
    assert first.share() == 0
    assert await first.after(2.0) == ["ack", "cap", "cap", "release"]


async def test_cooldown_starts_again_where_its_jump_was_not_measured() -> None:
    process = Stepped(GUARDED)
    await process.after(0.0)
    await process.capped_and_acknowledged()
    await process.after(300.0, DAY)  # the store was unreachable for five minutes
    await process.after(599.0)
    assert process.share() == 0
    await process.after(2.0)
    assert process.share() == 5000


@pytest.mark.parametrize(("hold", "release"), [(pause, resume), (rollback(), ack())], ids=("pause", "rollback"))
async def test_rollout_held_before_its_start_does_not_start(hold: Step, release: Step) -> None:
    process = Stepped()
    await process.act(hold)
    assert "start" not in await process.after(DAY)
    await process.act(release)
    assert "start" in await process.after(1.0)
    assert process.share() == 100


@pytest.mark.parametrize("jump", [DAY, -DAY])
async def test_rollback_of_a_person_is_lifted_after_any_jump(jump: float) -> None:
    process = Stepped(GUARDED)
    await process.after(0.0)
    await process.act(rollback())
    await process.after(2.0, jump)
    await process.act(ack())
    assert process.share() == 5000


async def test_cooldown_that_begins_in_the_future_starts_again() -> None:
    # as after a restart of all processes while the clock was set back
    process = Stepped(GUARDED)
    await process.after(0.0)
    await process.capped_and_acknowledged()
    process.shares.clock = Clock(lambda: 0.0, lambda: process.steady)  # type: ignore[misc]
    await process.after(1.0, -DAY)
    await process.after(601.0)
    assert process.share() == 5000


async def test_small_steps_of_the_clock_change_nothing() -> None:
    process = Stepped()
    await process.after(0.0)
    for _ in range(20):
        assert await process.after(DAY / 4, 5.0) == ["start"]


async def test_bake_time_that_begins_in_the_future_starts_again() -> None:
    # This happens when all processes restart while the clock was set back.
    process = Stepped()
    await process.after(0.0)
    process.shares.clock = Clock(lambda: 0.0, lambda: process.steady)  # type: ignore[misc]
    assert await process.after(1.0, -DAY) == ["gate", "start"]


def test_clock_follows_the_store_and_reports_jumps() -> None:
    steady = [0.0]
    clock = Clock(lambda: 500.0, lambda: steady[0])
    clock.set(1000.0)
    assert (clock.now(), clock.take_jump()) == (1000.0, ClockJump())
    steady[0] = 10.0
    clock.set(2010.0)
    clock.set(2010.0)
    assert (clock.now(), clock.take_jump(), clock.take_jump()) == (2010.0, ClockJump(1000.0, within=10.0), ClockJump())
