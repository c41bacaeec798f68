"""Work on the store of which nothing is kept: it happens in a transaction that is always aborted.

Work in a `DryRunTransaction` reads its own writes and is refused what the server refuses, as without it. But the
server aborts a transaction at the first refusal, and work may go on after one; so a dry run remembers what it has
written, and writes that again into a new transaction before whatever is asked next:

    insert A ok │ insert A: duplicate, all is aborted │ find: begin, insert A, find

What raises amid `nest` is taken back the same way, and so are conflicts with other people's writes.

The driver's session is no place for two at once, least of all for one operation and the end of the transaction:
what the driver is asked after that it does for good, outside of any transaction. So operations take turns, go on
to their own end even where whoever asked is cancelled, and the end takes its turn after them. None begins once the
dry run's deadline has passed, and none takes much longer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import pymongo

from handlers.storage.errors import StoreError, UnavailableError, translated
from handlers.storage.transactions import ABORTING, Operation, Session, Write, finish, persist, time_until

T = TypeVar("T")

SLACK: Final = 0.1
"""Seconds past its time in which an operation may end by itself: one that is broken off costs its connection, and may
yet happen on the server."""

_LONGEST_PAUSE: Final = 0.02
_PROMPT: Final = ABORTING / 2


class _Kept(NamedTuple):
    """A write that changed something, and how to do it again."""

    operation: Operation[object]
    write: Write


class DryRunTransaction:
    """Encloses work until `over` (monotonic seconds); `opening` is called before its first operation, and may refuse by
    an `OSError`.

    `begun` tells whether the server may have heard of it, `lost` whether an operation was never answered: then
    what the work came to says nothing.
    """

    def __init__(self, session: Session, over: float, opening: Callable[[], None]) -> None:
        self.begun = False
        self.lost = False
        self._session = session
        self._over = over
        self._opening = opening
        self._kept: list[_Kept] = []
        self._turn = asyncio.Lock()
        self._open = self._ended = False

    @property
    def writes(self) -> Sequence[Write]:
        """What would have been written, in order."""
        return [kept.write for kept in self._kept]

    async def ask(self, operation: Operation[T], write: Write | None = None) -> T:
        """Do an operation in its turn; raises `StoreError`."""
        async with self._turn:
            return await finish(self._ask(operation, write))

    async def nest(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives; where it raises, its writes are taken back."""
        before = len(self._kept)
        try:
            return await work()
        except BaseException:
            self._open &= len(self._kept) == before
            del self._kept[before:]
            raise

    async def _ask(self, operation: Operation[T], write: Write | None) -> T:
        try:
            done = await persist(lambda: self._try(operation), self._over, _LONGEST_PAUSE)
        except UnavailableError:
            self.lost = True
            raise
        if write is not None and done:
            self._kept.append(_Kept(operation, write))
        return done

    async def _try(self, operation: Operation[T]) -> T:
        if self._ended or self.lost or time.monotonic() >= self._over:
            raise UnavailableError("the dry run has ended")
        try:
            with translated(), time_until(self._over + SLACK):
                if not self._open:
                    await self._begin()
                return await operation(self._session)
        except StoreError:
            self._open = False
            raise

    async def _begin(self) -> None:
        if not self.begun:
            self._announce()
        if self._session.delegate.in_transaction:
            await self._session.abort_transaction()
        self._session.start_transaction()
        for kept in self._kept:
            await kept.operation(self._session)
        self._open = True

    def _announce(self) -> None:
        try:
            self._opening()
        except OSError as error:
            raise UnavailableError("nobody would end a transaction that this process leaves open") from error
        self.begun = True

    async def end(self) -> bool:
        """Abort once what is under way is done; whether the server is known to hold nothing any more."""
        self._ended = True
        async with self._turn:
            return not self.begun or (not self.lost and await self._abort())

    async def _abort(self) -> bool:
        """Whether it took no time: the driver keeps quiet about failures, which come from waiting."""
        began = time.monotonic()
        with pymongo.timeout(ABORTING):
            if self._session.delegate.in_transaction:
                await self._session.abort_transaction()
        return time.monotonic() - began < _PROMPT
