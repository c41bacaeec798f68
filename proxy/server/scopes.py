"""The ASGI scopes of one client connection."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from proxy.gateway.client_connection import ClientConnection
from proxy.gateway.request_context import CONTEXT, RequestContext
from proxy.server.request_head import RequestHead, split_target


class ScopeTemplate:
    """Builder of the scopes of a connection's requests; `state` is the lifespan's, for apps."""

    def __init__(self, transport: asyncio.Transport, config: Config, state: dict[str, Any]) -> None:
        self.root_path, self._state = config.root_path, state
        self.server = get_local_addr(transport)
        self.client = get_remote_addr(transport)
        self.peer = self.client[0] if self.client else None
        self.scheme = "https" if is_ssl(transport) else "http"
        self._common: Final[Scope] = {
            "type": "http",
            "asgi": {"version": config.asgi_version, "spec_version": "2.3"},
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": config.root_path,
        }

    def scope_of(self, head: RequestHead, connection: ClientConnection) -> Scope:
        """Return the scope of a request. Apps may change it."""
        parts, root_path = split_target(head.target), self.root_path
        return {
            **self._common,
            "asgi": self._common["asgi"].copy(),
            "http_version": head.version,
            "method": head.method,
            "path": root_path + parts.path if root_path else parts.path,
            "raw_path": raw_path_of(head.target, root_path),
            "query_string": parts.query,
            "headers": head.headers,
            "state": self._state.copy(),
            "proxy.target": head.target,
            CONTEXT: RequestContext(connection),
        }


def raw_path_of(target: bytes, root_path: str) -> bytes:
    """Return the raw path in the scope of a request."""
    raw_path = split_target(target).raw_path
    return root_path.encode("ascii") + raw_path if root_path else raw_path
