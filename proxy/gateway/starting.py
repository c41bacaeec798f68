"""Requests that begin without a task: the interface of backends that support it. Pure.

Besides being an ASGI app, a backend may have a method `start`. It sends a request and returns at once, or returns None
where it cannot. After the request has made progress, its caller takes the answer, or calls the app with the
started request in the scope's `RequestContext`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from starlette.types import ASGIApp, Scope

from proxy.types import HeaderFields


class StartedRequest(Protocol):
    """A request in flight."""

    @property
    def is_whole(self) -> bool:
        """True where the complete answer has been received."""

    def finish(self) -> tuple[int, HeaderFields, bytes]:
        """Return a complete answer: status, headers and body."""


Progressed = Callable[[StartedRequest], None]
"""Called once, when a request has made progress."""
StartRequest = Callable[[Scope, Progressed], StartedRequest | None]


def start_of(app: ASGIApp) -> StartRequest | None:
    """Return an app's `start`; None where it has none."""
    return cast("StartRequest | None", getattr(app, "start", None))
