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
    """The keys of one query and a future for each caller, so that cancelling one caller does not affect the others."""

    __slots__ = ("_callers", "keys")

    def __init__(self) -> None:
        self.keys: dict[K, None] = {}
        self._callers: list[asyncio.Future[Mapping[K, V]]] = []

    def join(self) -> asyncio.Future[Mapping[K, V]]:
        """Return a future of the batch's result for one more caller."""
        future: asyncio.Future[Mapping[K, V]] = asyncio.get_running_loop().create_future()
        self._callers.append(future)
        return future

    def succeed(self, result: Mapping[K, V]) -> None:
        """Give all callers the result."""
        for caller in self._callers:
            if not caller.done():
                caller.set_result(result)

    def fail(self, error: Exception) -> None:
        """Raise an error in all callers."""
        for caller in self._callers:
            if not caller.done():
                caller.set_exception(error)

    def cancel(self) -> None:
        """Cancel all callers."""
        for caller in self._callers:
            caller.cancel()


class Loader(Generic[K, V]):
    """Loads values by key through `fetch`, with at most one batch in flight.

    `fetch` receives distinct keys and returns a mapping that may lack some; `missing` is the value of those. It does
    not run in any caller's context. Callers of one key share its value and must not change it. An exception from
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
        return (await batch.join()).get(key, self._missing)

    async def load_all(self, keys: Iterable[K]) -> Mapping[K, V]:
        """Return the values of several keys, without those that have none; the mapping may hold other callers' keys."""
        batch = self._open_batch()
        batch.keys.update(dict.fromkeys(keys))
        return await batch.join()

    def _open_batch(self) -> _Batch[K, V]:
        if not self._waiting or len(self._waiting[-1].keys) >= LIMIT:
            self._waiting.append(_Batch())
            if self._task is None:
                self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())
        return self._waiting[-1]

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._send(self._waiting.pop(0))
        finally:
            self._task = None
            for batch in self._waiting:
                batch.cancel()
            self._waiting.clear()

    async def _send(self, batch: _Batch[K, V]) -> None:
        try:
            result = await self._fetch(list(batch.keys))
        except Exception as error:
            # Waiting batches fail too: their callers would otherwise wait for the unavailable source twice.
            for failed in (batch, *self._waiting):
                failed.fail(error)
            self._waiting.clear()
        except BaseException:
            batch.cancel()
            raise
        else:
            batch.succeed(result)
