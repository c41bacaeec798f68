"""The rollout controller of one process: caps, promotions, commands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.config.field_types import FULL, ZERO
from proxy.gateway.bucketing import Limit
from proxy.rollout.actions import ack, pause, promote, resume, rollback
from proxy.rollout.model import RouteState
from proxy.rollout.store import MemoryStore
from proxy.rollout.transitions import Refused
from proxy.types import BasisPoints
from tests.support.rollout_replica import PLAIN, STAGED, config, recorded, replica, running


async def test_failing_native_is_capped_at_the_evaluation() -> None:
    one = replica(config(PLAIN), MemoryStore())
    async with running(one):
        assert (one.share(), one.limits) == (5000, {})
        one.serve(status=500)
        one.controller.evaluate()
        assert (one.share(), one.limits) == (0, {"a": Limit(cap=ZERO)})
        await one.until(lambda: bool(one.changes))
        [change] = one.changes
        assert (change.kind, change.before, change.after, change.by.actor) == ("cap", 5000, 0, "guard")
        assert "server errors 100% of 100" in change.by.reason
        await recorded(one, change.by.reason)


class EarlyEvents(MemoryStore):
    """A store that delivers the event of a change before it answers, as a change stream may."""

    def __init__(self) -> None:
        super().__init__()
        self._events: asyncio.Queue[RouteState] = asyncio.Queue()
        self._handled = asyncio.Event()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[AsyncIterator[RouteState]]:
        yield self._deliver()

    async def _deliver(self) -> AsyncIterator[RouteState]:
        while True:
            yield await self._events.get()
            self._handled.set()

    async def replace(self, after: RouteState) -> bool:
        stored = await super().replace(after)
        self._handled.clear()
        self._events.put_nowait(after)
        await self._handled.wait()
        return stored


async def test_cap_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "scribe_proxy.state")
    one = replica(config(PLAIN), EarlyEvents())
    async with running(one):
        one.serve(status=500)
        one.controller.evaluate()
        await one.until(lambda: bool(one.changes))
        await recorded(one, one.changes[0].by.reason)
    [line] = [record.message for record in caplog.records if "capped" in record.message]
    assert line.startswith("a is capped, from 50% to 0%: ")


async def test_route_without_legacy_or_native_callers_is_not_capped() -> None:
    one = replica(config(PLAIN, "{name: b, match: GET /b, native: 0%, guard: {}}"), MemoryStore())
    async with running(one):
        one.legacy_down = True
        for name in ("a", "b"):
            one.serve(status=500, name=name)
        one.controller.evaluate()
        assert one.share() == 5000
        one.legacy_down = False
        one.controller.evaluate()
        assert one.share() == 0
        await one.until(lambda: bool(one.changes))
        assert [change.route for change in one.changes] == ["a"]


async def test_failed_health_checks_cap_a_share_without_traffic() -> None:
    one = replica(config(PLAIN, "{name: b, match: GET /b, native: 5%}"), MemoryStore())
    one.healthy = False
    async with running(one):
        await one.until(lambda: one.share() == 0)
        assert one.share("b") == 500  # no guard is configured


async def test_rollout_promotes_to_its_end_with_evidence_only() -> None:
    one = replica(config(STAGED), MemoryStore())
    async with running(one):
        await one.until(lambda: one.share() == 1000)
        await asyncio.sleep(0.4)
        assert one.share() == 1000
        progress = one.controller.describe(one.route()).progress
        assert progress is not None
        assert (progress.waits, progress.left) == ("evidence", 0.0)
        for expected in (5000, FULL):
            one.serve(50)
            one.stats.advance(time.monotonic() + 1.1)  # ends the slice
            await one.until(lambda expected=expected: one.share() == expected)  # type: ignore[misc]
        assert [change.kind for change in one.changes] == ["start", "promotion", "promotion"]
        assert one.changes[-1].by.reason == "every gate was passed for 200ms"
        assert one.limits == {}


async def test_failed_gate_restarts_the_bake_time() -> None:
    one = replica(config(STAGED.replace("200ms", "1h")), MemoryStore())
    async with running(one):
        await one.until(lambda: one.share() == 1000)
        one.serve(1000)
        one.serve(30, status=404)
        one.stats.advance(time.monotonic() + 1.1)
        await one.until(lambda: len(one.changes) == 2)
        assert one.changes[1].kind == "gate"
        assert one.changes[1].by.reason == "errors 2.91% of 1,030 (limit 1%)"
        description = one.controller.describe(one.route())
        assert description.progress is not None
        assert 3000 < description.progress.left <= 3600
        assert description.state.missed is not None


async def test_operator_actions_take_effect() -> None:
    one = replica(config(STAGED.replace("200ms", "1d")), MemoryStore())
    async with running(one):
        await one.until(lambda: one.share() == 1000)
        version = one.controller.describe(one.route()).state.version
        await one.controller.act("a", promote, "amara", "looks fine", expected_version=version)
        assert one.share() == 5000
        with pytest.raises(Refused, match="has changed meanwhile"):
            await one.controller.act("a", promote, "ben", "looks fine", expected_version=version)
        await one.controller.act("a", pause, "amara", "over the weekend")
        await one.controller.act("a", rollback(BasisPoints(1000)), "amara", "  too \n many calls ")
        assert one.share() == 1000
        await one.controller.act("a", ack(), "amara", "calmer")
        await one.controller.act("a", resume, "amara", "monday")
        assert [(c.kind, c.by.reason) for c in one.changes[1:]] == [
            ("promotion", "looks fine"),
            ("pause", "over the weekend"),
            ("rollback", "too many calls"),
            ("release", "calmer"),
            ("resume", "monday"),
        ]


@pytest.mark.parametrize(
    ("name", "actor", "reason", "text"),
    [
        ("b", "amara", "because", "there is no route or group b"),
        ("a", " ", "because", "give your name"),
        ("a", "amara", "\n", "a reason is required"),
    ],
)
async def test_action_requires_a_route_an_actor_and_a_reason(name: str, actor: str, reason: str, text: str) -> None:
    one = replica(config(PLAIN), MemoryStore())
    async with running(one):
        with pytest.raises(Refused, match=text):
            await one.controller.act(name, rollback(), actor, reason)
        assert one.share() == 5000


async def test_step_is_retried_on_concurrent_changes_up_to_a_limit() -> None:
    class ContendedStore(MemoryStore):
        """A store in which another process is faster, `times` times."""

        times = 2

        async def replace(self, after: RouteState) -> bool:
            self.times -= 1
            return self.times < 0 and await super().replace(after)

    one = replica(config(PLAIN), ContendedStore())
    async with running(one):
        await one.controller.act("a", rollback(BasisPoints(1000)), "amara", "down")
        assert one.share() == 1000
        one.controller.store.times = 99  # type: ignore[attr-defined]
        with pytest.raises(Refused, match="a keeps changing: check it and try again"):
            await one.controller.act("a", rollback(), "amara", "down")


async def test_acknowledged_cap_is_released_after_its_cooldown() -> None:
    one = replica(config(PLAIN.replace("10m", "3s")), MemoryStore())  # longer than a pause before the acknowledgement
    async with running(one):
        one.serve(status=500)
        one.controller.evaluate()
        await one.until(lambda: bool(one.changes))
        await one.controller.act("a", ack(), "amara", "mended")
        assert one.share() == 0
        await one.until(lambda: one.share() == 5000)
        assert [change.kind for change in one.changes] == ["cap", "ack", "release"]
        one.controller.evaluate()
        assert one.share() == 5000  # what was seen before does not count again


@pytest.mark.parametrize("jump", [1e7, -1e7])
async def test_jump_of_the_clock_promotes_nothing(jump: float) -> None:
    wall = 1.8e9
    one = replica(config(STAGED.replace("200ms", "1h")), MemoryStore(lambda: wall))
    async with running(one):
        await one.until(lambda: one.share() == 1000)
        one.serve(100)
        wall += jump
        one.stats.advance(time.monotonic() + 1.1)
        await one.until(lambda: "gate" in [change.kind for change in one.changes])
        progress = one.controller.describe(one.route()).progress
        assert progress is not None
        assert 3000 < progress.left <= 3600
        assert one.share() == 1000


async def test_changed_file_is_applied_and_recorded() -> None:
    one = replica(config(PLAIN, STAGED.replace("name: a, match: GET /a", "name: b, match: GET /b")), MemoryStore())
    async with running(one):
        await one.until(lambda: one.share("b") == 1000)
        began = one.controller.describe(one.route("b")).state.passing
        lowered = STAGED.replace("name: a, match: GET /a", "name: b, match: GET /b, native: 20%")
        one.controller.apply_config(config(PLAIN.replace("50%", "30%"), lowered))
        assert (one.share(), one.share("b")) == (3000, 1000)
        await one.until(lambda: one.controller.describe(one.route("b")).state.passing > began)
        history = await one.controller.store.history(9)
        assert {(entry.kind, entry.route) for entry in history} >= {("config", ""), ("share", "a"), ("share", "b")}
        [reason] = [entry.by.reason for entry in history if (entry.kind, entry.route) == ("share", "a")]
        assert reason == "`native` was 50%, and is 30%"


async def test_error_does_not_end_the_evaluation(caplog: pytest.LogCaptureFixture) -> None:
    one = replica(config(PLAIN), MemoryStore())
    async with running(one):
        one.hook_fails = True
        await one.until(lambda: "evaluating the guards failed" in caplog.text)
        one.hook_fails = False
        one.serve(status=500)
        await one.until(lambda: one.share() == 0)
