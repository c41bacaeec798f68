"""Requests as the gateway mirrors them, and as the shadow process receives them."""

from __future__ import annotations

from typing import Literal

from starlette.types import Scope

from proxy.config.models import Route
from proxy.gateway.bucketing import Decision
from proxy.gateway.request_context import CONTEXT, RequestContext
from proxy.shadow.messages import ConnectionInfo, RequestSnapshot
from proxy.shadow.mirror import DirectRead, snapshot_of

CONNECTION = ConnectionInfo("https", "1.1", ("10.0.0.7", 4711), ("127.0.0.1", 8000), b"id-1", "/notes/{id}")


def snapshot(target: str = "/notes/same", method: str = "GET", body: bytes = b"") -> RequestSnapshot:
    headers = ((b"host", b"clinic.example"), (b"x-two", b"1"), (b"x-two", b"2"))
    return RequestSnapshot(method, target.encode(), headers, body, CONNECTION)


def scope(method: str = "GET", **headers: str) -> Scope:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http",
        "method": method,
        "scheme": "https",
        "path": "/x",
        "raw_path": b"/x",
        "query_string": b"q=1",
        "headers": given,
        "client": ("10.0.0.7", 1),
        "server": ("127.0.0.1", 8000),
        CONTEXT: RequestContext(request_id=b"id-1"),
        "proxy.template": "/{x}",
    }


class ScopedRequest:
    """A request that is served in a task."""

    kind: Literal["http", "websocket"] = "http"
    caller: int | None = None
    started = headed = 0.0

    def __init__(self, scope: Scope) -> None:
        self.scope, self.method = scope, scope["method"]

    def request_snapshot(self) -> RequestSnapshot:
        return snapshot_of(self.scope)


def direct_read(route: Route, body: bytes = b"", target: str = "/x") -> DirectRead:
    """Return a read of a route that legacy has answered with a body."""
    served = {**scope(), "path": target, "raw_path": target.encode()}
    return DirectRead(route, Decision("legacy", "share", 0), ScopedRequest(served), 200, ((b"ETag", b"1"),), body)
