"""Transactions that are retried after a conflict, limited in time, and reported if they may still be open.

This replaces the drivers' `with_transaction`, which retries for two minutes and knows only the driver's own errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar

import pymongo
from pymongo import errors
from pymongo.errors import PyMongoError

from handlers.storage.driver import Session
from handlers.storage.errors import StoreError, UnavailableError, translate_errors

T = TypeVar("T")

Operation: TypeAlias = Callable[[Any], Awaitable[T]]
"""An operation on MongoDB, in a session or (None) outside of any."""

MIN_DELAY: Final = 0.005
ABORT_TIMEOUT: Final = 0.25
"""Seconds for aborting a transaction, in addition to those for its operations."""

MAX_RETRY_DELAY: Final = 0.2


@dataclass(frozen=True)
class Write:
    """One write of one document: its `document` (insert), `filter` and `update` (update), or `filter` (delete)."""

    collection: str
    operation: Literal["insert", "update", "delete"]
    fields: Mapping[str, object]


class TransactionContext(Protocol):
    """The transaction or dry run that encloses operations."""

    async def execute(self, operation: Operation[T], write: Write | None = None) -> T:
        """Execute an operation within the transaction, possibly more than once.

        The result of a `write` is truthy if it changed something.
        """

    async def run_nested(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `work`; if it raises, none of its writes persist."""


_current: ContextVar[TransactionContext | None] = ContextVar("current_transaction", default=None)


def current_transaction() -> TransactionContext | None:
    """Return the transaction that encloses the caller, if any."""
    return _current.get()


def is_within_transaction() -> bool:
    """Return whether the caller is in a transaction; its lookups must not be batched with others."""
    return _current.get() is not None


@contextlib.contextmanager
def use_transaction(context: TransactionContext) -> Iterator[None]:
    """Make a transaction enclose all operations of the `with` block."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


async def execute(operation: Operation[T], write: Write | None = None) -> T:
    """Execute an operation, within the enclosing transaction if there is one; raises `StoreError`."""
    context = _current.get()
    with translate_errors():
        return await (operation(None) if context is None else context.execute(operation, write))


async def retry_conflicts(
    attempt: Callable[[], Awaitable[T]], session: Session, deadline: float, max_delay: float = MAX_RETRY_DELAY
) -> T:
    """Return an attempt's result, retrying conflicts until `deadline` (monotonic seconds); raises `StoreError`.

    If a connection has no sessions, the next attempt uses new connections.
    """
    pause = MIN_DELAY
    while True:
        try:
            return await attempt()
        except StoreError as error:
            if _lacks_sessions(error):
                await session.replace_connections()
            elif not _is_transient(error):
                raise
            if time.monotonic() + pause > deadline:
                raise UnavailableError(str(error)) from error
        await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - jitter between conflicting clients
        pause = min(pause * 1.5, max_delay)


def _lacks_sessions(error: StoreError) -> bool:
    """Return whether the driver knows no server, or used a connection of a server that was in no replica set yet."""
    return isinstance(error.__cause__, errors.ConfigurationError)


def _is_transient(error: StoreError) -> bool:
    """Return whether the driver labels the error as a conflict or a broken connection."""
    cause = error.__cause__
    return isinstance(cause, PyMongoError) and cause.has_error_label("TransientTransactionError")


def driver_timeout(deadline: float) -> contextlib.AbstractContextManager[object]:
    """Limit the time of driver calls, on the server too."""
    return pymongo.timeout(max(deadline - time.monotonic(), MIN_DELAY))


async def run_to_completion(work: Awaitable[T]) -> T:
    """Return the result of `work`, deferring a cancellation until it is done.

    A driver operation that has started cannot be stopped. If the session's transaction ends during an operation, the
    driver executes that operation outside of any transaction, permanently.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # marks it as retrieved
        raise


class Transaction:
    """Work in a transaction, retried after conflicts until `deadline` (monotonic seconds).

    `outcome_unknown` says whether a connection broke during it, which may have left it open on the server.
    """

    def __init__(self, session: Session, deadline: float) -> None:
        self.outcome_unknown = False
        self._session = session
        self._deadline = deadline

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `work`; raises `StoreError`."""
        return await retry_conflicts(lambda: self._try(work), self._session, self._deadline)

    async def execute(self, operation: Operation[T], write: Write | None = None) -> T:
        """Execute an operation within the transaction."""
        return await run_to_completion(operation(self._session.native))

    async def run_nested(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `work`, whose exception is expected to end this transaction as well."""
        return await work()

    async def _try(self, work: Callable[[], Awaitable[T]]) -> T:
        await self._session.start_transaction()
        try:
            with use_transaction(self), translate_errors(), driver_timeout(self._deadline):
                result = await work()
                await run_to_completion(self._session.commit_transaction())
                return result
        except BaseException as error:
            self._record_outcome(error)
            await self._abort()
            raise

    def _record_outcome(self, error: BaseException) -> None:
        unsent = isinstance(error.__cause__, errors.ServerSelectionTimeoutError)
        self.outcome_unknown |= isinstance(error.__cause__, errors.ConnectionFailure) and not unsent

    async def _abort(self) -> None:
        """Abort within `ABORT_TIMEOUT`; almost do not wait if the connection is broken."""
        if self._session.in_transaction:
            with pymongo.timeout(MIN_DELAY if self.outcome_unknown else ABORT_TIMEOUT):
                await self._session.abort_transaction()
