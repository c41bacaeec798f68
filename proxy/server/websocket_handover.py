"""Hand a connection over to the WebSocket protocol."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from proxy.server.request_head import RequestHead


def hand_over(
    head: RequestHead,
    rest: bytes,
    transport: asyncio.Transport,
    config: Config,
    server_state: ServerState,
    app_state: dict[str, Any],
    *,
    half_closed: bool,
    leaving: bool,
) -> None:
    """Hand a connection over as uvicorn's protocol does: the head as bytes, the bytes after it, the client's end.

    `leaving`: the server is stopping. uvicorn shuts down only the protocols that exist when that begins.
    """
    lines = [b"%b %b HTTP/1.1\r\n" % (head.method.encode(), head.target)]
    lines += [b"%b: %b\r\n" % header for header in head.headers]
    protocol = cast("Any", config.ws_protocol_class)(config=config, server_state=server_state, app_state=app_state)
    protocol.connection_made(transport)
    if leaving:
        protocol.shutdown()
    protocol.data_received(b"".join((*lines, b"\r\n")))
    transport.set_protocol(protocol)
    if rest:
        protocol.data_received(rest)
    if half_closed:
        protocol.eof_received()
