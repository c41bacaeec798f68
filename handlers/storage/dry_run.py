"""Execute store operations in a transaction that is always aborted.

Work in a `DryRunTransaction` reads its own writes and receives the server's refusals, as without it. The server
aborts a transaction at the first refusal, while the work may continue after one. The dry run therefore records its
writes and replays them in a new transaction before the next operation:

    insert A ok │ insert A: duplicate, server aborts │ find: begin, insert A, find

The same replay reverts the writes of work that raises within `run_nested`, and repeats the transaction after a write
conflict with another client.

A driver session does not support concurrent use, in particular an operation concurrent with the end of the
transaction: the driver executes later operations outside of any transaction, permanently. Operations therefore run
one at a time, complete even if their caller is cancelled, and the abort runs after them. No operation starts after
the deadline, and none runs much beyond it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import pymongo

from handlers.storage.driver import Session
from handlers.storage.errors import StoreError, UnavailableError, translate_errors
from handlers.storage.transactions import (
    ABORT_TIMEOUT,
    Operation,
    Write,
    driver_timeout,
    retry_conflicts,
    run_to_completion,
)

T = TypeVar("T")

SLACK: Final = 0.1
"""Seconds after the deadline in which an operation may still complete.

Interrupting an operation costs its connection, and the server may execute it nevertheless.
"""

_MAX_RETRY_DELAY: Final = 0.02
MAX_ABORT_DURATION: Final = ABORT_TIMEOUT / 2
"""Seconds; the driver hides a failed abort, which only shows as a delay."""


class _RecordedWrite(NamedTuple):
    """A write that changed something, with the operation that repeats it."""

    operation: Operation[object]
    write: Write


class DryRunTransaction:
    """A transaction that executes operations until `deadline` (monotonic seconds) and is always aborted.

    `on_begin` is called before the first operation, and may refuse by an `OSError`. `has_begun` says whether the
    server may know of the transaction; `outcome_unknown` whether an operation got no answer, in which case the
    result of the work is not valid.
    """

    def __init__(
        self,
        session: Session,
        deadline: float,
        on_begin: Callable[[], None],
        *,
        max_abort_duration: float = MAX_ABORT_DURATION,
    ) -> None:
        self.has_begun = False
        self.outcome_unknown = False
        self._session = session
        self._deadline = deadline
        self._on_begin = on_begin
        self._max_abort_duration = max_abort_duration
        self._recorded: list[_RecordedWrite] = []
        self._lock = asyncio.Lock()
        self._open = self._ended = False

    @property
    def writes(self) -> Sequence[Write]:
        """Return the writes that would have been stored, in order."""
        return [recorded.write for recorded in self._recorded]

    async def execute(self, operation: Operation[T], write: Write | None = None) -> T:
        """Execute an operation after the earlier ones; raises `StoreError`."""
        async with self._lock:
            return await run_to_completion(self._execute(operation, write))

    async def run_nested(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `work`; revert its writes if it raises."""
        before = len(self._recorded)
        try:
            return await work()
        except BaseException:
            self._open &= len(self._recorded) == before
            del self._recorded[before:]
            raise

    async def _execute(self, operation: Operation[T], write: Write | None) -> T:
        try:
            result = await retry_conflicts(
                lambda: self._try(operation), self._session, self._deadline, _MAX_RETRY_DELAY
            )
        except UnavailableError:
            self.outcome_unknown = True
            raise
        if write is not None and result:
            self._recorded.append(_RecordedWrite(operation, write))
        return result

    async def _try(self, operation: Operation[T]) -> T:
        if self._ended or self.outcome_unknown or time.monotonic() >= self._deadline:
            raise UnavailableError("the dry run's deadline has passed")
        try:
            with translate_errors(), driver_timeout(self._deadline + SLACK):
                if not self._open:
                    await self._begin()
                return await operation(self._session.native)
        except StoreError:
            self._open = False
            raise

    async def _begin(self) -> None:
        if not self.has_begun:
            self._notify_begin()
        if self._session.in_transaction:
            await self._session.abort_transaction()
        await self._session.start_transaction()
        for recorded in self._recorded:
            await recorded.operation(self._session.native)
        self._open = True

    def _notify_begin(self) -> None:
        try:
            self._on_begin()
        except OSError as error:
            raise UnavailableError("no reaper process is available to end an abandoned transaction") from error
        self.has_begun = True

    async def end(self) -> bool:
        """Abort after the running operation; return whether the server is known to hold no open transaction."""
        self._ended = True
        async with self._lock:
            return not self.has_begun or (not self.outcome_unknown and await self._abort())

    async def _abort(self) -> bool:
        """Return whether the abort was immediate; see `MAX_ABORT_DURATION`."""
        started = time.monotonic()
        with pymongo.timeout(ABORT_TIMEOUT):
            if self._session.in_transaction:
                await self._session.abort_transaction()
        return time.monotonic() - started < self._max_abort_duration
