"""Tells the gateway that a response failed because of a dependency, and not because of this app.

The gateway announces the ASGI extension `proxy.dependency_failure` as a mutable mapping; the app puts the name of the
dependency that failed under `dependency`. Nothing of it reaches the client. Without the extension nothing happens.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final, Literal

from handlers.services.model import ModelTimeoutError, ModelUnreachableError
from handlers.services.terminology import TerminologyTimeoutError, TerminologyUnreachableError
from handlers.storage.errors import UnavailableError

EXTENSION: Final = "proxy.dependency_failure"

Dependency = Literal["database", "model", "terminology"]

_DEPENDENCIES: Final[tuple[tuple[tuple[type[Exception], ...], Dependency], ...]] = (
    ((UnavailableError,), "database"),
    ((ModelTimeoutError, ModelUnreachableError), "model"),
    ((TerminologyTimeoutError, TerminologyUnreachableError), "terminology"),
)


def report_failure(scope: MutableMapping[str, Any], error: BaseException) -> None:
    """Report the dependency that an error comes from, if it comes from one that cannot be reached in time."""
    announced = scope.get("extensions", {}).get(EXTENSION)
    if announced is None:
        return
    for kinds, dependency in _DEPENDENCIES:
        if isinstance(error, kinds):
            announced["dependency"] = dependency
