"""Report to the gateway that a response failed because of a dependency, not because of this app.

The gateway provides the ASGI extension `proxy.dependency_failure` as a mutable mapping; the app stores the name of
the failed dependency under `dependency`. The client does not see it. Without the extension nothing is reported.
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
    """Report the dependency behind an error, if the error is its unavailability."""
    extension = scope.get("extensions", {}).get(EXTENSION)
    if extension is None:
        return
    for kinds, dependency in _DEPENDENCIES:
        if isinstance(error, kinds):
            extension["dependency"] = dependency
