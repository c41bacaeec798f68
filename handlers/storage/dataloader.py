"""Batch concurrent lookups of the same kind into one query.

A driver's round trip costs far more than its payload. Lookups of one kind are therefore combined when they arrive
within one iteration of the event loop, or while an earlier batch is in flight:

    load(a) ─┐ same iteration            load(c) ─┐ while the first batch is in flight
    load(b) ─┴─> fetch([a, b]) ──────────────┐    load(d) ─┴─> fetch([c, d]) once the first has returned

A lookup never joins a batch that is already in flight, so each caller sees a state at or after its own call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextvars import Context
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

LIMIT: Final = 500
"""Maximum number of keys in a batch."""


class _Batch(Generic[K, V]):
    def __init__(self, result: asyncio.Future[Mapping[K, V]]) -> None:
        self.keys: dict[K, None] = {}
        self.result = result


class Loader(Generic[K, V]):
    """Loads values by key through `fetch`, with at most one batch in flight.

    `fetch` receives distinct keys and returns a mapping that may lack some; `missing` is the value of those. It runs
    outside any caller's context. Callers of one key share its value and must not change it. An exception from
    `fetch` is raised in each caller of the batch and in each caller that waits for the next batch.
    """

    def __init__(self, fetch: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], missing: V) -> None:
        self._fetch = fetch
        self._missing = missing
        self._waiting: list[_Batch[K, V]] = []
        self._task: asyncio.Task[None] | None = None

    async def load(self, key: K) -> V:
        """Return the value of a key, as of now or later."""
        batch = self._open_batch()
        batch.keys[key] = None
        result = await asyncio.shield(batch.result)
        return result.get(key, self._missing)

    async def load_all(self, keys: Iterable[K]) -> Mapping[K, V]:
        """Return the values of several keys, without those that have none; the mapping may hold other callers' keys."""
        batch = self._open_batch()
        batch.keys.update(dict.fromkeys(keys))
        return await asyncio.shield(batch.result)

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
                batch.result.cancel()
            self._waiting.clear()

    async def _send(self, batch: _Batch[K, V]) -> None:
        try:
            result = await self._fetch(list(batch.keys))
        except Exception as error:
            # Waiting batches fail too: with the source unavailable, their callers would wait for it twice.
            for failed in (batch, *self._waiting):
                failed.result.set_exception(error)
                failed.result.exception()  # marks it as retrieved: there may be no caller left
            self._waiting.clear()
        except BaseException:
            batch.result.cancel()
            raise
        else:
            batch.result.set_result(result)
