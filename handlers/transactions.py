"""Several writes as one: begun anew after a conflict, given up in time, told of when they may have been left open.

Not motor's `with_transaction`: that one tries for two minutes, and knows only the driver's own errors.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeVar

import pymongo
from pymongo import errors
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from handlers.store_errors import StoreError, UnavailableError, translated

T = TypeVar("T")

_FIRST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.2
_ABORTING: Final = 0.25


class Session(Protocol):
    """The part of the driver's session that makes transactions."""

    delegate: ClientSession

    def start_transaction(self) -> Any: ...
    async def commit_transaction(self) -> None: ...
    async def abort_transaction(self) -> None: ...


current_session: ContextVar[Any] = ContextVar("session", default=None)
"""The driver's session whose transaction everything asked now belongs to, or None."""


def is_within_transaction() -> bool:
    """Whether what is asked now belongs to a transaction, and so may not travel with anybody else's."""
    return current_session.get() is not None


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
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self._try(work)
            except StoreError as error:
                if not _may_go_better(error):
                    raise
                if time.monotonic() + pause > self._over:
                    raise UnavailableError(str(error)) from error
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - so that those in conflict do not meet again
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def _try(self, work: Callable[[], Awaitable[T]]) -> T:
        token = current_session.set(self._session)
        self._session.start_transaction()
        try:
            with translated(), pymongo.timeout(max(self._over - time.monotonic(), _FIRST_PAUSE)):
                done = await work()
                await self._session.commit_transaction()
                return done
        except BaseException as error:
            self._note_loss(error)
            await self._abort()
            raise
        finally:
            current_session.reset(token)

    def _note_loss(self, error: BaseException) -> None:
        unsent = isinstance(error.__cause__, errors.ServerSelectionTimeoutError)
        self.lost |= isinstance(error.__cause__, errors.ConnectionFailure) and not unsent

    async def _abort(self) -> None:
        """In time of its own, of which there is little where the connection is lost anyway."""
        if self._session.delegate.in_transaction:
            with pymongo.timeout(_FIRST_PAUSE if self.lost else _ABORTING):
                await self._session.abort_transaction()


def _may_go_better(error: StoreError) -> bool:
    """The driver says so of conflicts and lost connections; it knows no sessions while it knows no server."""
    cause = error.__cause__
    transient = isinstance(cause, PyMongoError) and cause.has_error_label("TransientTransactionError")
    return transient or isinstance(cause, errors.ConfigurationError)
