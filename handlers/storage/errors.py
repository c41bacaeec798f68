"""What the store could not do, whatever the driver calls it.

StoreError
├── UnavailableError     no MongoDB to be reached in time: try again
├── RefusedError         the server refused, with its code and message
│   └── DuplicateError   a unique index refused
├── UnstorableError      what BSON cannot hold, or more than 16 MiB of it
└── NoTransactionsError  a MongoDB that is neither replica set nor sharded cluster
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from bson.errors import BSONError
from pymongo import errors
from pymongo.errors import PyMongoError

EXCEEDED_TIME: Final = 50
"""The server's code for an operation that took longer than it was given."""


class StoreError(Exception):
    """What the store could not do; the message is the server's or the driver's."""


class UnavailableError(StoreError):
    """No MongoDB could be reached in time."""


class RefusedError(StoreError):
    """The server refused an operation; `code` is its error code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class DuplicateError(RefusedError):
    """A unique index refused a document."""


class UnstorableError(StoreError):
    """A document that BSON cannot hold."""


class NoTransactionsError(StoreError):
    """This MongoDB has no transactions, and what was asked needs one."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """The driver's errors as the store's."""
    try:
        yield
    except (errors.ConnectionFailure, errors.ExecutionTimeout) as error:
        raise UnavailableError(str(error)) from error
    except errors.DuplicateKeyError as error:
        raise DuplicateError(_server_message(error), error.code or 0) from error
    except (errors.OperationFailure, errors.WriteError) as error:
        if error.code == EXCEEDED_TIME:
            raise UnavailableError(_server_message(error)) from error
        raise RefusedError(_server_message(error), error.code or 0) from error
    except (PyMongoError, BSONError, ValueError, OverflowError, RecursionError) as error:
        raise UnstorableError(str(error)) from error


def _server_message(error: errors.OperationFailure) -> str:
    return str((error.details or {}).get("errmsg", error))
