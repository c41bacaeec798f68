"""Several writes as one: begun anew after a conflict, given up in time, told of when they may have been left open.

Not motor's `with_transaction`: that one tries for two minutes, and knows only the driver's own errors.
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
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from handlers.storage.errors import StoreError, UnavailableError, translated

T = TypeVar("T")

Operation: TypeAlias = Callable[[Any], Awaitable[T]]
"""What is asked of MongoDB, in a session or (None) outside of any."""

SHORTEST: Final = 0.005
ABORTING: Final = 0.25
"""Seconds for ending a transaction, beside those for what it is made of."""

LONGEST_PAUSE: Final = 0.2


@dataclass(frozen=True)
class Write:
    """One write of one document: its `document` (insert), `filter` and `update` (update), or `filter` (delete)."""

    collection: str
    operation: Literal["insert", "update", "delete"]
    said: Mapping[str, object]


class Session(Protocol):
    """The part of the driver's session that makes transactions."""

    delegate: ClientSession

    def start_transaction(self) -> Any: ...
    async def commit_transaction(self) -> None: ...
    async def abort_transaction(self) -> None: ...


class TransactionContext(Protocol):
    """What everything asked below it belongs to: a transaction, or a dry run."""

    async def ask(self, operation: Operation[T], write: Write | None = None) -> T:
        """Do an operation as part of it, perhaps more than once; of a `write`, the result tells whether it changed
        anything."""

    async def nest(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives; where it raises, nothing that it wrote is kept."""


_enclosing: ContextVar[TransactionContext | None] = ContextVar("enclosing", default=None)


def current_transaction() -> TransactionContext | None:
    """What everything asked now belongs to, if anything."""
    return _enclosing.get()


def is_within_transaction() -> bool:
    """Whether what is asked now belongs to a transaction, and so may not travel with anybody else's."""
    return _enclosing.get() is not None


@contextlib.contextmanager
def use_transaction(unit: TransactionContext) -> Iterator[None]:
    """Have everything that is asked meanwhile belong to it."""
    token = _enclosing.set(unit)
    try:
        yield
    finally:
        _enclosing.reset(token)


async def ask(operation: Operation[T], write: Write | None = None) -> T:
    """Do an operation, within whatever encloses it; raises `StoreError`."""
    unit = _enclosing.get()
    with translated():
        return await (operation(None) if unit is None else unit.ask(operation, write))


async def persist(attempt: Callable[[], Awaitable[T]], over: float, longest_pause: float = LONGEST_PAUSE) -> T:
    """What an attempt gives, made anew after a conflict until `over` (monotonic seconds); raises `StoreError`."""
    pause = SHORTEST
    while True:
        try:
            return await attempt()
        except StoreError as error:
            if not _may_go_better(error):
                raise
            if time.monotonic() + pause > over:
                raise UnavailableError(str(error)) from error
        await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - so that those in conflict do not meet again
        pause = min(pause * 1.5, longest_pause)


def _may_go_better(error: StoreError) -> bool:
    """The driver says so of conflicts and lost connections; it knows no sessions while it knows no server."""
    cause = error.__cause__
    transient = isinstance(cause, PyMongoError) and cause.has_error_label("TransientTransactionError")
    return transient or isinstance(cause, errors.ConfigurationError)


def time_until(over: float) -> contextlib.AbstractContextManager[object]:
    """Bounds what the driver does meanwhile, and how long the server takes for it."""
    return pymongo.timeout(max(over - time.monotonic(), SHORTEST))


async def finish(work: Awaitable[T]) -> T:
    """What `work` gives. Who is cancelled meanwhile is so once it is done: what the driver has begun cannot be stopped,
    and a session whose transaction is ended amid an operation does that operation outside of any, for good.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # there is nobody to be told
        raise


class Transaction:
    """Work in a transaction, begun anew after a conflict until `over` (monotonic seconds).

    `lost` tells whether a connection broke amid it, which may have left it open on the server.
    """

    def __init__(self, session: Session, over: float) -> None:
        self.lost = False
        self._session = session
        self._over = over

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives; raises `StoreError`."""
        return await persist(lambda: self._try(work), self._over)

    async def ask(self, operation: Operation[T], write: Write | None = None) -> T:
        """Do an operation as part of it."""
        return await finish(operation(self._session))

    async def nest(self, work: Callable[[], Awaitable[T]]) -> T:
        """Part of this one: what `work` raises is expected to end it as well."""
        return await work()

    async def _try(self, work: Callable[[], Awaitable[T]]) -> T:
        self._session.start_transaction()
        try:
            with use_transaction(self), translated(), time_until(self._over):
                done = await work()
                await finish(self._session.commit_transaction())
                return done
        except BaseException as error:
            self._note_loss(error)
            await self._abort()
            raise

    def _note_loss(self, error: BaseException) -> None:
        unsent = isinstance(error.__cause__, errors.ServerSelectionTimeoutError)
        self.lost |= isinstance(error.__cause__, errors.ConnectionFailure) and not unsent

    async def _abort(self) -> None:
        """In time of its own, of which there is little where the connection is lost anyway."""
        if self._session.delegate.in_transaction:
            with pymongo.timeout(SHORTEST if self.lost else ABORTING):
                await self._session.abort_transaction()
