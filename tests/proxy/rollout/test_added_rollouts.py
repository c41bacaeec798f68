"""A rollout that is added to a running route continues at its share, which does not fall and rise again."""

from __future__ import annotations

import pytest

from proxy.rollout.groups import RouteGroups
from proxy.rollout.model import Attribution, HistoryQuery
from proxy.rollout.state_cache import RouteStateCache
from proxy.rollout.store import MemoryStore, Store
from proxy.rollout.transitions import continue_rollout, initial_state, pause
from proxy.types import BasisPoints
from tests.support.rollout_replica import Replica, config, recorded_config, replica, running

PLAIN = "{name: a, match: GET /a, native: 50%}"
CLOSED = "window: {days: mon, hours: '00:00-00:01', zone: UTC}"


def staged(stages: str, more: str = "bake_time: 1d") -> str:
    return f"{{name: a, match: GET /a, rollout: {{stages: {stages}, {more}}}}}"


async def started(one: Replica) -> list[tuple[str, int, int, str]]:
    """Wait for the start of the rollout; return kind, shares and reason of all changes of the route's share."""
    await one.until(lambda: any(change.kind == "start" for change in one.changes))
    history = await one.controller.store.history(9, HistoryQuery("a"))
    shares = [entry for entry in history if entry.kind != "config"]
    return [(entry.kind, entry.before, entry.after, entry.by.reason) for entry in shares]


@pytest.mark.parametrize(
    ("stages", "more", "share"),
    [
        ("[10%, 50%, 100%]", "bake_time: 1d", 5000),
        ("[10%, 25%, 100%]", "bake_time: 1d", 2500),
        ("[10%, 25%, 100%]", CLOSED, 2500),
    ],
)
async def test_rollout_continues_below_the_running_share(stages: str, more: str, share: int) -> None:
    one = replica(config(PLAIN), MemoryStore())
    async with running(one):
        await one.until(lambda: one.share() == 5000)
        one.controller.apply_config(config(staged(stages, more)))
        assert one.share() == share  # at once
        reason = f"a `rollout` was added at 50%, and continues at {share // 100}%"
        assert await started(one) == [("start", 5000, share, reason)]
        assert one.share() == share


async def test_rollout_above_the_running_share_starts_at_stage_one() -> None:
    one = replica(config(PLAIN), MemoryStore())
    async with running(one):
        await one.until(lambda: one.share() == 5000)
        one.controller.apply_config(config(staged("[60%, 100%]")))
        await one.until(lambda: one.share() == 6000)


async def test_replica_that_restarts_with_the_rollout_continues() -> None:
    store: Store = MemoryStore()  # outlives both, as MongoDB does
    before = replica(config(PLAIN), store)
    async with running(before):
        await recorded_config(before, 1)
    after = replica(config(staged("[10%, 25%, 100%]")), store)
    async with running(after):
        await after.until(lambda: after.share() == 2500)
        assert [change[:3] for change in await started(after)] == [("start", 5000, 2500)]


def test_state_without_a_stage_does_not_end_the_running_share() -> None:
    (route,) = config(staged("[10%, 25%, 100%]")).routes
    cache = RouteStateCache()
    cache.groups = RouteGroups([route])
    cache.set_running(route, BasisPoints(5000))
    paused = pause(route, initial_state(route), Attribution("amara", "because", 1.0))
    assert cache.record(paused)
    assert (cache.continues_at(route), cache.effective(route).stage) == (5000, 0)  # not loaded yet
    cache.load({paused.key: paused})
    assert cache.effective(route).share == 2500
    assert cache.record(continue_rollout(route, paused, BasisPoints(5000), 2.0))
    assert cache.continues_at(route) is None
