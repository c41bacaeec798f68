"""Large work of clients, piece by piece, with the clients in rotation."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from proxy.fair_queue import PASS_TIME, QUEUE_TIME, FairQueue, fair_queue_of
from tests.support.clock import Clock
from tests.support.waiting import HANG_TIMEOUT


def queue_with_clock() -> tuple[FairQueue, Clock]:
    clock = Clock()
    return FairQueue(asyncio.get_running_loop(), clock), clock


async def test_client_of_much_work_waits_for_the_others() -> None:
    queue, _ = queue_with_clock()
    done: list[str] = []
    for client in ("many", "many", "many", "one", "other"):
        queue.enqueue(client, lambda client=client: done.append(client))  # type: ignore[misc]
    await asyncio.sleep(0)
    assert done == ["many", "one", "other", "many", "many"]
    assert not len(queue)


async def test_large_work_ends_its_pass() -> None:
    queue, _ = queue_with_clock()
    done: list[int] = []
    for number in range(3):
        queue.enqueue("a", lambda number=number: done.append(number), large=True)  # type: ignore[misc]
    for passes in range(1, 4):
        await asyncio.sleep(0)
        assert done == list(range(passes))


async def test_long_work_ends_its_pass() -> None:
    queue, clock = queue_with_clock()
    done: list[int] = []

    def work() -> None:
        done.append(1)
        clock.now += QUEUE_TIME

    queue.enqueue("a", work)
    queue.enqueue("b", work)
    await asyncio.sleep(0)
    assert len(done) == 1
    await asyncio.sleep(0)
    assert len(done) == 2


@pytest.mark.parametrize(
    ("other_work", "begun"),
    [(0.0, 1), (2.5 * QUEUE_TIME, 3), (0.9 * PASS_TIME, 4), (3 * PASS_TIME, 4), (9.5 * PASS_TIME, 10)],
)
async def test_pass_begins_more_the_longer_its_other_work_takes(other_work: float, begun: int) -> None:
    queue, clock = queue_with_clock()
    done: list[int] = []
    for number in range(100):
        queue.enqueue("a", lambda number=number: done.append(number), large=True)  # type: ignore[misc]
    numbers = []
    for _ in range(4):
        await asyncio.sleep(0)
        clock.now += other_work
        numbers.append(len(done))
    assert [later - earlier for earlier, later in itertools.pairwise(numbers)] == [begun] * 3


async def test_work_that_the_queue_begins_is_no_other_work() -> None:
    queue, clock = queue_with_clock()
    begun: list[int] = []

    async def begin() -> None:
        await queue.wait("a")
        begun.append(1)
        clock.now += 3 * PASS_TIME

    tasks = [asyncio.create_task(begin()) for _ in range(6)]
    numbers = []
    while len(begun) < len(tasks):
        await asyncio.sleep(0)
        numbers.append(len(begun))
    assert max(later - earlier for earlier, later in itertools.pairwise(numbers)) == 1


async def test_failing_work_leaves_the_rest_in_the_queue() -> None:
    queue, _ = queue_with_clock()
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))
    done = asyncio.Event()
    queue.enqueue("a", lambda: 1 // 0)  # type: ignore[arg-type]
    queue.enqueue("b", done.set)
    await asyncio.wait_for(done.wait(), HANG_TIMEOUT)
    assert [type(failure) for failure in failures] == [ZeroDivisionError]


async def test_pass_is_long_until_the_loop_turns() -> None:
    queue, clock = queue_with_clock()
    assert not queue.pass_is_long
    clock.now += PASS_TIME / 2
    assert not queue.pass_is_long
    clock.now += PASS_TIME
    measured = [queue.pass_is_long]
    await asyncio.sleep(0)
    assert [*measured, queue.pass_is_long] == [True, False]


async def test_turn_is_immediate_while_passes_are_short() -> None:
    queue, _ = queue_with_clock()
    waiting = queue.wait_if_contended("a")
    with pytest.raises(StopIteration):
        waiting.send(None)


async def test_waiting_client_gets_one_turn_a_pass() -> None:
    queue, clock = queue_with_clock()
    begun: list[str] = []

    async def begin(client: str) -> None:
        await queue.wait_if_contended(client)
        begun.append(client)
        clock.now += 0.6 * PASS_TIME

    tasks = [asyncio.create_task(begin(client)) for client in "aaaaaab"]
    numbers = []
    while len(begun) < len(tasks):
        await asyncio.sleep(0)
        numbers.append(len(begun))
    assert max(later - earlier for earlier, later in itertools.pairwise(numbers)) == 1
    assert begun.index("b") <= 3


async def test_turn_of_a_cancelled_waiter_passes_to_the_next() -> None:
    queue, _ = queue_with_clock()
    first, second = (asyncio.create_task(queue.wait("a")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait_for(second, HANG_TIMEOUT)
    assert first.cancelled()


async def test_loop_has_one_queue() -> None:
    loop = asyncio.get_running_loop()
    assert fair_queue_of(loop) is fair_queue_of(loop)
