"""Errors of the store, independent of the driver.

StoreError
├── UnavailableError         no MongoDB is reachable in time
└── OperationError           any other failure, which the legacy's handlers catch
    ├── RefusedError         the server refused, with its code and message
    │   ├── DuplicateError   a unique index refused
    │   └── LaterWriteRefusedError
    │                         the server refused a write that followed another one
    ├── UnstorableError      not representable in BSON, or larger than 16 MiB
    ├── UnreadableError      a stored document that the driver cannot decode
    └── NoTransactionsError  a MongoDB that is neither a replica set nor a sharded cluster
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final

from bson.errors import BSONError, InvalidBSON
from pymongo import errors
from pymongo.errors import PyMongoError

EXCEEDED_TIME: Final = 50
"""Server error code of an operation that exceeded its time limit."""

_UTF8_FAULT: Final = "'utf-8' codec"
_INVALID_UTF8: Final = "Invalid UTF-8 string in BSON document"


class StoreError(Exception):
    """A failed store operation; the message is the server's or the driver's."""


class UnavailableError(StoreError):
    """No MongoDB is reachable in time."""


class OperationError(StoreError):
    """An operation that failed although MongoDB is reachable."""


class RefusedError(OperationError):
    """An operation that the server refused; `code` is its error code, `response` its complete reply."""

    def __init__(self, message: str, code: int, response: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.response = response or {}


class DuplicateError(RefusedError):
    """A document that a unique index refused."""


class LaterWriteRefusedError(RefusedError):
    """A refused write that followed another one of the same work; a transaction has undone the first as well."""


class UnstorableError(OperationError):
    """A document that BSON cannot represent."""


class UnreadableError(OperationError):
    """A stored document that the driver cannot decode; for invalid UTF-8, the message is that of Node's driver."""


class NoTransactionsError(OperationError):
    """An operation that needs a transaction, on a MongoDB without transactions."""


class _Translation:
    """The context of `translate_errors`. A class, because a generator costs several times as much for each `with`."""

    __slots__ = ()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise the store's error for the driver's."""
        if error is not None and (translated := _translate(error)) is not None:
            raise translated from error


_TRANSLATION: Final = _Translation()


@contextlib.contextmanager
def later_write() -> Iterator[None]:
    """Raise `LaterWriteRefusedError` for a write that the server refuses; a conflict is retried like any other."""
    try:
        yield
    except RefusedError as error:
        raise LaterWriteRefusedError(str(error), error.code, error.response) from error.__cause__


def translate_errors() -> AbstractContextManager[None, None]:
    """Translate the driver's errors to the store's."""
    return _TRANSLATION


def _translate(error: BaseException) -> StoreError | None:
    """Return the store's error for the driver's, None for any other."""
    if isinstance(error, errors.ConnectionFailure | errors.ExecutionTimeout):
        return UnavailableError(str(error))
    if isinstance(error, errors.DuplicateKeyError):
        return DuplicateError(_server_message(error), error.code or 0)
    if isinstance(error, errors.OperationFailure):
        if error.code == EXCEEDED_TIME:
            return UnavailableError(_server_message(error))
        return RefusedError(_server_message(error), error.code or 0, error.details)
    if isinstance(error, InvalidBSON):
        return UnreadableError(_INVALID_UTF8 if _UTF8_FAULT in str(error) else str(error))
    if isinstance(error, PyMongoError | BSONError | ValueError | OverflowError | RecursionError):
        return UnstorableError(str(error))
    return None


def _server_message(error: errors.OperationFailure) -> str:
    return str((error.details or {}).get("errmsg", error))
