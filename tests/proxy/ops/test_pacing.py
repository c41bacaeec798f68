"""Pages use the event loop in turns, in slices, and with a rest while requests are in flight."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from proxy.ops.pacing import PacedWork, PacingMiddleware, PageTurns
from proxy.ops.rendering import json_of
from proxy.ops.slices import SLICE, in_slices, in_thread
from tests.support.clock import Clock


async def passes(number: int = 50) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def paced(work: Coroutine[Any, Any, None], turns: PageTurns, client: str = "a") -> asyncio.Task[None]:
    async def run() -> None:
        await PacedWork(work, turns, client)

    return asyncio.create_task(run())


def idle_turns() -> PageTurns:
    return PageTurns(lambda: False)


async def test_steps_of_clients_alternate() -> None:
    steps: list[str] = []

    async def page(name: str) -> None:
        for _ in range(3):
            steps.append(name)
            await asyncio.sleep(0)

    turns = idle_turns()
    await asyncio.gather(*(paced(page(name), turns, name[0]) for name in ("a1", "a2", "a3", "b1")))
    assert steps.index("b1") == 2  # a1 has its turn at once, and a2 waits before b1
    assert steps[:10].count("b1") == 3
    assert sorted(steps) == sorted(["a1", "a2", "a3", "b1"] * 3)


async def test_each_pass_runs_one_step() -> None:
    counted = [0]
    most = 0

    async def page() -> None:
        for _ in range(5):
            counted[0] += 1
            await asyncio.sleep(0)

    turns = idle_turns()
    tasks = [paced(page(), turns, str(number)) for number in range(8)]
    while not all(task.done() for task in tasks):
        counted[0] = 0
        await asyncio.sleep(0)
        most = max(most, counted[0])
    assert most == 1


@pytest.mark.parametrize("in_flight", [True, False])
async def test_page_pauses_only_while_requests_are_in_flight(in_flight: bool) -> None:
    clock = Clock()
    turns = PageTurns(lambda: in_flight, clock)
    await turns.take("a")
    clock.now += 1000
    turns.end()
    next_page = asyncio.create_task(turns.take("a"))
    await passes()
    assert next_page.done() is not in_flight
    next_page.cancel()


async def test_waiting_page_occupies_no_turn() -> None:
    turns, event, ended = idle_turns(), asyncio.Event(), asyncio.Event()

    async def other() -> None:
        ended.set()

    waiting = paced(_wait(event), turns)
    await passes()
    await paced(other(), turns)
    assert ended.is_set()
    event.set()
    await waiting


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def test_exceptions_and_timeouts_pass_through() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("a")

    async def wait_in_vain() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        raise LookupError("b")

    turns = idle_turns()
    with pytest.raises(KeyError):
        await paced(fail(), turns)
    with pytest.raises(LookupError, match="b"):
        await paced(wait_in_vain(), turns)


@pytest.mark.parametrize("taken", [True, False])
async def test_cancelled_page_cleans_up_and_releases_its_turn(taken: bool) -> None:
    turns, steps, event = idle_turns(), list[str](), asyncio.Event()

    async def page() -> None:
        steps.append("begun")
        try:
            await event.wait()
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    task = paced(page(), turns)
    await passes()
    if taken:  # it waits for a turn when it is cancelled
        await turns.take("b")
        event.set()
        await passes()
    task.cancel()
    await passes()
    if taken:
        turns.end()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["begun", "cleaned up"]
    await asyncio.wait_for(turns.take("c"), 60)


async def test_turn_of_a_cancelled_page_goes_to_the_next() -> None:
    turns = idle_turns()
    await turns.take("a")
    cancelled, following = asyncio.create_task(turns.take("b")), asyncio.create_task(turns.take("c"))
    await passes()
    turns.end()
    await asyncio.sleep(0)  # the turn is granted and not yet taken
    cancelled.cancel()
    await passes()
    assert cancelled.cancelled()
    assert following.done()


@pytest.mark.parametrize(
    ("path", "answered"), [("/healthz", True), ("/readyz", True), ("/", False), ("/static/a", False)]
)
async def test_health_checks_need_no_turn(path: str, answered: bool) -> None:
    done: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        done.append(scope["path"])

    turns = idle_turns()
    await turns.take("another")
    scope = {"type": "http", "path": path, "client": ("127.0.0.1", 1)}
    task = asyncio.ensure_future(_called(PacingMiddleware(app, turns), scope))
    await passes()
    assert bool(done) is path.endswith("z")
    turns.end()
    await task
    assert done == [path]


def _called(app: PacingMiddleware, scope: Scope) -> Awaitable[None]:
    async def receive() -> dict[str, object]:
        return {}

    async def send(message: object) -> None:
        raise AssertionError(message)

    return app(scope, receive, send)


async def test_slices_yield_to_the_loop() -> None:
    clock, others = Clock(), [0]

    async def count() -> None:
        while True:
            others[0] += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    reached = []
    async for item in in_slices(range(10), clock):
        reached.append((item, others[0]))
        clock.now += SLICE / 2
    counting.cancel()
    assert [item for item, _ in reached] == list(range(10))
    assert len({ran for _, ran in reached}) == 5


async def test_thread_is_shared_by_all_calls() -> None:
    names = await asyncio.gather(*(in_thread(lambda: threading.current_thread().name) for _ in range(9)))
    assert len(set(names)) == 1


@dataclass(frozen=True)
class Item:
    name: str
    share: float | None


@dataclass(frozen=True)
class Page:
    items: tuple[Item, ...]
    first: Item
    nothing: tuple[Item, ...] = ()
    text: str = "é"


async def test_json_of_a_view_has_all_its_fields() -> None:
    view = Page((Item("a", 1.5), Item("b", None), Item("c", float("nan"))), Item("first", 2.0))
    assert (await json_of(view)).decode() == (
        '{"items":[{"name":"a","share":1.5},{"name":"b","share":null},{"name":"c","share":null}],'
        '"first":{"name":"first","share":2.0},"nothing":[],"text":"é"}'
    )
