"""Batch concurrent lookups of the same kind into one query.

A driver's round trip costs far more than its payload. Lookups of one kind are therefore combined when they arrive
within one iteration of the event loop, or while an earlier batch is in flight:

    load(a) ─┐ same iteration            load(c) ─┐ while the first batch is in flight
    load(b) ─┴─> fetch([a, b]) ──────────────┐    load(d) ─┴─> fetch([c, d]) once the first has returned

A lookup never joins a batch that is already in flight, so each caller sees a state at or after its own call. If a
document cannot be read, each caller of the batch gets a query of its own, so that the others get their documents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextvars import Context
from typing import Final, Generic, TypeVar

from handlers.storage.errors import UnreadableError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

LIMIT: Final = 500
"""Maximum number of keys in a batch."""


class _Batch(Generic[K, V]):
    """The keys of one query and a future for each caller, so that cancelling one caller does not affect the others."""

    __slots__ = ("_callers", "_requested", "keys")

    def __init__(self) -> None:
        self.keys: dict[K, None] = {}
        self._callers: list[asyncio.Future[Mapping[K, V]]] = []
        self._requested: list[Sequence[K]] = []

    def join(self, keys: Sequence[K]) -> asyncio.Future[Mapping[K, V]]:
        """Return a future of the batch's result for one more caller, who needs these keys of it."""
        future: asyncio.Future[Mapping[K, V]] = asyncio.get_running_loop().create_future()
        self.keys.update(dict.fromkeys(keys))
        self._callers.append(future)
        self._requested.append(keys)
        return future

    def split(self) -> list[_Batch[K, V]]:
        """Return a batch for each set of keys that callers need; empty if all need the same."""
        parts: dict[frozenset[K], _Batch[K, V]] = {}
        for keys, caller in zip(self._requested, self._callers, strict=True):
            part = parts.setdefault(frozenset(keys), _Batch())
            part.keys.update(dict.fromkeys(keys))
            part._callers.append(caller)
            part._requested.append(keys)
        return list(parts.values()) if len(parts) > 1 else []

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
        return (await self._open_batch().join((key,))).get(key, self._missing)

    async def load_all(self, keys: Iterable[K]) -> Mapping[K, V]:
        """Return the values of several keys, without those that have none; the mapping may hold other callers' keys."""
        return await self._open_batch().join(tuple(keys))

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
        except UnreadableError as error:
            parts = batch.split()
            if not parts:
                batch.fail(error)
            for part in parts:
                await self._send(part)
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
