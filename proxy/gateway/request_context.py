"""Data of a request that listener, gateway and legacy backend share: one object in the ASGI scope. Pure.

It is internal to the proxy. The scope's public keys and extensions are listed in ARCHITECTURE.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from proxy.gateway.client_connection import ClientConnection
from proxy.gateway.starting import StartedRequest
from proxy.gateway.timeouts import Timeouts

CONTEXT: Final = "proxy.context"
"""The key of a scope that holds its `RequestContext`."""


@dataclass(slots=True)
class RequestContext:
    """Data of one request that are not part of ASGI.

    `connection`: the client's, set by the listener for HTTP. Set by the gateway: `request_id`, the `X-Request-Id` for
    backends; `client`, its key in the fair queue; `timeouts`, those of a route with its own; `caller`, the caller's
    identity on routes with a guard; `started`, a request that was sent to legacy without a task, with which the legacy
    backend continues.
    """

    connection: ClientConnection | None = None
    request_id: bytes = b"-"
    client: str | None = None
    timeouts: Timeouts | None = None
    caller: int | None = None
    started: StartedRequest | None = None


def context_of(scope: Scope) -> RequestContext:
    """Return a scope's context; it is added if it is missing."""
    context: RequestContext | None = scope.get(CONTEXT)
    if context is None:
        context = scope[CONTEXT] = RequestContext()
    return context
