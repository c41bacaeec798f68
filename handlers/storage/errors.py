"""Errors of the store, independent of the driver.

StoreError
├── UnavailableError     no MongoDB is reachable in time
├── RefusedError         the server refused, with its code and message
│   └── DuplicateError   a unique index refused
├── UnstorableError      not representable in BSON, or larger than 16 MiB
└── NoTransactionsError  a MongoDB that is neither a replica set nor a sharded cluster
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bson.errors import BSONError
from pymongo import errors
from pymongo.errors import PyMongoError

EXCEEDED_TIME: Final = 50
"""Server error code of an operation that exceeded its time limit."""


class StoreError(Exception):
    """A failed store operation; the message is the server's or the driver's."""


class UnavailableError(StoreError):
    """No MongoDB is reachable in time."""


class RefusedError(StoreError):
    """An operation that the server refused; `code` is its error code, `response` its complete reply."""

    def __init__(self, message: str, code: int, response: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.response = response or {}


class DuplicateError(RefusedError):
    """A document that a unique index refused."""


class UnstorableError(StoreError):
    """A document that BSON cannot represent."""


class NoTransactionsError(StoreError):
    """An operation that needs a transaction, on a MongoDB without transactions."""


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Translate the driver's errors to the store's."""
    try:
        yield
    except (errors.ConnectionFailure, errors.ExecutionTimeout) as error:
        raise UnavailableError(str(error)) from error
    except errors.DuplicateKeyError as error:
        raise DuplicateError(_server_message(error), error.code or 0) from error
    except (errors.OperationFailure, errors.WriteError) as error:
        if error.code == EXCEEDED_TIME:
            raise UnavailableError(_server_message(error)) from error
        raise RefusedError(_server_message(error), error.code or 0, error.details) from error
    except (PyMongoError, BSONError, ValueError, OverflowError, RecursionError) as error:
        raise UnstorableError(str(error)) from error


def _server_message(error: errors.OperationFailure) -> str:
    return str((error.details or {}).get("errmsg", error))
