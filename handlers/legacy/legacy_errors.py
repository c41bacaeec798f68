"""The `try`/`catch` that the legacy's handlers are written in: what they catch, and what they let through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final, TypeVar

from handlers.legacy.express import Reply, Request
from handlers.legacy.javascript import JavaScriptTypeError
from handlers.legacy.mongoose import MongooseError
from handlers.storage.errors import StoreError, UnavailableError

CAUGHT: Final = (MongooseError, StoreError, JavaScriptTypeError)

T = TypeVar("T")
Method = Callable[[T, Request], Awaitable[Reply]]


def legacy_errors(refuse: Callable[[str], Reply]) -> Callable[[Method[T]], Method[T]]:
    """Turns what a handler raises into the legacy's answer, which gets the error's message.

    A database that cannot be reached is no such error: every endpoint answers that alike.
    """

    def decorate(handler: Method[T]) -> Method[T]:
        @wraps(handler)
        async def catch(self: T, request: Request) -> Reply:
            try:
                return await handler(self, request)
            except UnavailableError:
                raise
            except CAUGHT as error:
                return refuse(str(error))
            except RecursionError:  # V8's stack ends as well, if elsewhere
                return refuse("Maximum call stack size exceeded")

        return catch

    return decorate
