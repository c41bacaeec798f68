"""Simultaneous look-ups share a query, and no look-up gets a result from before its call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextvars import ContextVar

import pytest

from handlers.storage.dataloader import LIMIT, Loader
from handlers.storage.errors import UnreadableError
from tests.support.waiting import PROMPT_TIMEOUT

pytestmark = pytest.mark.timeout(PROMPT_TIMEOUT)  # a faulty loader leaves its callers waiting


class Source:
    """A source that answers keys from its present contents; it can be set to answer one query after another."""

    def __init__(self, held: dict[int, str]) -> None:
        self.held = held
        self.fetches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: BaseException | None = None

    async def fetch(self, keys: Sequence[int]) -> Mapping[int, str]:
        self.fetches.append(list(keys))
        values = {key: self.held[key] for key in keys if key in self.held}
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return values


@pytest.fixture
async def source() -> Source:
    return Source({1: "one", 2: "two"})


async def test_lookups_of_one_turn_are_one_fetch(source: Source) -> None:
    loader = Loader(source.fetch, "none")
    assert await asyncio.gather(*map(loader.load, (1, 2, 3, 1))) == ["one", "two", "none", "one"]
    assert source.fetches == [[1, 2, 3]]


async def test_lookups_during_a_fetch_share_the_next(source: Source) -> None:
    loader = Loader(source.fetch, "none")
    source.gate.clear()
    first = asyncio.create_task(loader.load(1))
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(loader.load(key)) for key in (1, 2)]
    await asyncio.sleep(0.01)
    source.held[1] = "changed"
    source.gate.set()
    assert [await first, *[await task for task in later]] == ["one", "changed", "two"]
    assert source.fetches == [[1], [1, 2]]


async def test_several_keys_load_together(source: Source) -> None:
    loader = Loader(source.fetch, "none")
    values, single = await asyncio.gather(loader.load_all([1, 3]), loader.load(2))
    assert {key: values[key] for key in (1, 3) if key in values} == {1: "one"}
    assert single == "two"
    assert source.fetches == [[1, 3, 2]]


async def test_fetch_runs_in_no_callers_context(source: Source) -> None:
    async def fetch(keys: Sequence[int]) -> Mapping[int, str]:
        return dict.fromkeys(keys, caller.get("nobody"))

    caller: ContextVar[str] = ContextVar("caller")
    token = caller.set("amara")
    assert await Loader(fetch, "none").load(1) == "nobody"
    caller.reset(token)


async def test_full_batch_starts_another(source: Source) -> None:
    loader = Loader(source.fetch, "none")
    await asyncio.gather(loader.load_all(range(LIMIT)), loader.load(LIMIT + 1))
    assert [len(keys) for keys in source.fetches] == [LIMIT, 1]


async def test_callers_all_get_the_failure(source: Source) -> None:
    loader = Loader(source.fetch, "none")
    source.failure = ValueError("broken")
    errors = await asyncio.gather(loader.load(1), loader.load(2), return_exceptions=True)
    assert [str(error) for error in errors] == ["broken", "broken"]
    source.failure = None
    assert await loader.load(1) == "one"


async def test_cancelled_caller_leaves_others_waiting(source: Source) -> None:
    loader = Loader(source.fetch, "none")
    source.gate.clear()
    leaving, staying = asyncio.create_task(loader.load(1)), asyncio.create_task(loader.load(1))
    await asyncio.sleep(0.01)
    leaving.cancel()
    source.gate.set()
    assert await staying == "one"
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_stopped_loader_cancels_all_waiters(source: Source) -> None:
    loader = Loader(source.fetch, "none")
    source.gate.clear()
    under_way = asyncio.create_task(loader.load(1))
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(loader.load(2))
    await asyncio.sleep(0.01)
    [running] = asyncio.all_tasks() - {under_way, waiting, asyncio.current_task()}
    running.cancel()  # as the end of the event loop does
    errors = await asyncio.gather(under_way, waiting, return_exceptions=True)
    assert [type(error) for error in errors] == [asyncio.CancelledError] * 2


async def test_unreadable_document_fails_only_its_callers(source: Source) -> None:
    async def fetch(keys: Sequence[int]) -> Mapping[int, str]:
        values = await source.fetch(keys)
        if 2 in keys:
            raise UnreadableError("not UTF-8")
        return values

    loader = Loader(fetch, "none")
    lookups = (loader.load(2), loader.load(1), loader.load_all([1, 3]), loader.load_all([3, 2]), loader.load(1))
    unreadable, one, both, neither, again = await asyncio.gather(*lookups, return_exceptions=True)
    assert (one, both, again) == ("one", {1: "one"}, "one")
    assert [str(error) for error in (unreadable, neither)] == ["not UTF-8"] * 2
    assert source.fetches == [[2, 1, 3], [2], [1], [1, 3], [3, 2]]


async def test_unreadable_document_of_several_callers_is_fetched_once(source: Source) -> None:
    loader = Loader(source.fetch, "none")
    source.failure = UnreadableError("not UTF-8")
    errors = await asyncio.gather(loader.load(1), loader.load(1), return_exceptions=True)
    assert [str(error) for error in errors] == ["not UTF-8"] * 2
    assert source.fetches == [[1]]
