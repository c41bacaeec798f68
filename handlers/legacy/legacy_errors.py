"""The `try`/`catch` of the legacy's handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final, TypeVar

from handlers.legacy.express import Reply, Request
from handlers.legacy.javascript import JavaScriptTypeError
from handlers.legacy.mongoose import MongooseError
from handlers.storage.errors import OperationError

CAUGHT: Final = (MongooseError, OperationError, JavaScriptTypeError)
"""Without `UnavailableError`, which the application answers in the same way for every endpoint."""

T = TypeVar("T")
Method = Callable[[T, Request], Awaitable[Reply]]


def legacy_errors(refuse: Callable[[str], Reply]) -> Callable[[Method[T]], Method[T]]:
    """Convert the exceptions that the legacy's handler catches to its answer: `refuse` of the error's message."""

    def decorate(handler: Method[T]) -> Method[T]:
        @wraps(handler)
        async def catch(self: T, request: Request) -> Reply:
            try:
                return await handler(self, request)
            except CAUGHT as error:
                return refuse(str(error))
            except RecursionError:  # V8's stack overflows as well, at another depth
                return refuse("Maximum call stack size exceeded")

        return catch

    return decorate
