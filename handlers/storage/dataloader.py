"""Gathers lookups that come at the same time into one query.

A driver's round trip costs far more than what it carries, so lookups of the same kind that are asked for
within one turn of the event loop, or while earlier ones are under way, travel together:

    load(a) ─┐ same turn                 load(c) ─┐ while the first batch is out
    load(b) ─┴─> fetch([a, b]) ──────────────┐    load(d) ─┴─> fetch([c, d]) once the first is back

Nobody joins a batch that has left, so each caller is told of a state at or after its own call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextvars import Context
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

LIMIT: Final = 500
"""Keys after which a batch takes nobody else in."""


class _Batch(Generic[K, V]):
    def __init__(self, found: asyncio.Future[Mapping[K, V]]) -> None:
        self.keys: dict[K, None] = {}
        self.found = found


class Loader(Generic[K, V]):
    """`load(key)` answers what `fetch` finds for it; one batch is out at a time.

    `fetch` gets distinct keys and answers a mapping that may lack some; `missing` is the answer for those.
    It runs outside any caller's context. Callers of one key share its value and must not change it. What
    `fetch` raises, each caller gets, and so does whoever waits for the next batch.
    """

    def __init__(self, fetch: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], missing: V) -> None:
        self._fetch = fetch
        self._missing = missing
        self._waiting: list[_Batch[K, V]] = []
        self._task: asyncio.Task[None] | None = None

    async def load(self, key: K) -> V:
        """The value of a key, as of now or later."""
        batch = self._open_batch()
        batch.keys[key] = None
        found = await asyncio.shield(batch.found)
        return found.get(key, self._missing)

    async def load_all(self, keys: Iterable[K]) -> Mapping[K, V]:
        """The values of several keys, without those that have none; perhaps with those of others."""
        batch = self._open_batch()
        batch.keys.update(dict.fromkeys(keys))
        return await asyncio.shield(batch.found)

    def _open_batch(self) -> _Batch[K, V]:
        if not self._waiting or len(self._waiting[-1].keys) >= LIMIT:
            loop = asyncio.get_running_loop()
            self._waiting.append(_Batch(loop.create_future()))
            if self._task is None:
                self._task = loop.create_task(self._run(), context=Context())
        return self._waiting[-1]

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._send(self._waiting.pop(0))
        finally:
            self._task = None
            for batch in self._waiting:
                batch.found.cancel()
            self._waiting.clear()

    async def _send(self, batch: _Batch[K, V]) -> None:
        try:
            found = await self._fetch(list(batch.keys))
        except Exception as error:
            # Those who wait meanwhile are told too: with the source away, each would wait for it twice.
            for failed in (batch, *self._waiting):
                failed.found.set_exception(error)
                failed.found.exception()  # told to whoever still waits; nobody may be left
            self._waiting.clear()
        except BaseException:
            batch.found.cancel()
            raise
        else:
            batch.found.set_result(found)
