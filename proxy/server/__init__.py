"""The gateway's own listener: uvicorn, with the few things a faithful proxy needs besides."""

from __future__ import annotations

from typing import Any

from proxy.server.http import HttpProtocol
from proxy.server.websocket import WebSocketProtocol

__all__ = ["HttpProtocol", "WebSocketProtocol", "uvicorn_settings"]


def uvicorn_settings() -> dict[str, Any]:
    """The `uvicorn.Config` arguments that make it listen as Node does, and add nothing to what the sides answer."""
    return {
        "http": HttpProtocol,
        "ws": WebSocketProtocol,
        "ws_max_size": 100 * 1024 * 1024,
        "server_header": False,
        "date_header": False,
        "proxy_headers": False,
        "access_log": False,
        "timeout_keep_alive": 5,
    }
