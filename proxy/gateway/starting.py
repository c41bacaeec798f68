"""Requests that begin without a task: the interface of backends that support it. Pure.

Besides being an ASGI app, a backend may have a method `prepare`, whose result starts a request: it sends the request
and returns immediately, or returns None if it cannot. It may be used again for the same request of another client.
After a started request has made progress, its caller takes the answer, or calls the app with the started request in
the scope's `RequestContext`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from starlette.types import ASGIApp

from proxy.gateway.timeouts import Timeouts
from proxy.types import HeaderFields


class StartedRequest(Protocol):
    """A request in flight."""

    def finish(self) -> tuple[int, HeaderFields, bytes] | None:
        """Return a complete answer: status, headers and body; None if it is not complete, which needs a task."""


Progressed = Callable[[StartedRequest], None]
"""Called once, when a request has made progress."""
StartRequest = Callable[[bytes, Progressed], StartedRequest | None]
"""Starts a prepared request with the `X-Request-Id` for the backend."""
PrepareRequest = Callable[[str, bytes, HeaderFields, Timeouts | None], StartRequest | None]
"""Prepares a request by its method, target, headers and the timeouts of its route; None if it needs a task."""


def prepare_of(app: ASGIApp) -> PrepareRequest | None:
    """Return an app's `prepare`; None if it has none."""
    return cast("PrepareRequest | None", getattr(app, "prepare", None))
