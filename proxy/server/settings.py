"""uvicorn's settings for the gateway's own protocols."""

from __future__ import annotations

from typing import Any

from proxy.server.proxy_protocol import create_protocol
from proxy.server.websocket import WebSocketProtocol


def uvicorn_settings() -> dict[str, Any]:
    """Return the `uvicorn.Config` arguments with which uvicorn behaves like Node and adds nothing to answers."""
    return {
        "http": create_protocol,
        "ws": WebSocketProtocol,
        "ws_max_size": 100 * 1024 * 1024,
        "server_header": False,
        "date_header": False,
        "proxy_headers": False,
        "access_log": False,
    }
