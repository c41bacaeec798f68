"""Requests that begin without a task: what a backend offers for it, and where a task finds what was begun. Pure.

A backend may have a method `start` beside being an ASGI app. It begins a request and returns at once, or refuses by
None. Once the request has made progress, its caller takes the answer, or calls the app with a scope that holds the
request under `STARTED`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, cast

from starlette.types import ASGIApp, Scope

from proxy.types import HeaderFields

STARTED: Final = "proxy.started"
"""The key of a scope that holds the request that was started, with which the app goes on."""


class StartedRequest(Protocol):
    """A request under way."""

    @property
    def is_whole(self) -> bool:
        """Whether the answer is there to its last byte."""

    def finish(self) -> tuple[int, HeaderFields, bytes]:
        """Return a whole answer: its status, headers and body."""


Progressed = Callable[[StartedRequest], None]
"""Called once, when a request has made progress."""
StartRequest = Callable[[Scope, Progressed], StartedRequest | None]


def start_of(app: ASGIApp) -> StartRequest | None:
    """Return an app's `start`; None where it has none."""
    return cast("StartRequest | None", getattr(app, "start", None))
