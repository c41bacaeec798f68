"""The gateway's own listener: uvicorn's server with an HTTP/1.1 protocol that behaves as Node's does."""

from __future__ import annotations

from typing import Any

from proxy.server.protocol import HttpProtocol
from proxy.server.proxy_protocol import create_protocol
from proxy.server.websocket import WebSocketProtocol

__all__ = ["HttpProtocol", "WebSocketProtocol", "uvicorn_settings"]


def uvicorn_settings() -> dict[str, Any]:
    """Return the `uvicorn.Config` arguments that make it listen as Node does and add nothing to answers."""
    return {
        "http": create_protocol,
        "ws": WebSocketProtocol,
        "ws_max_size": 100 * 1024 * 1024,
        "server_header": False,
        "date_header": False,
        "proxy_headers": False,
        "access_log": False,
    }
