"""The server that runs the gateway's listeners."""

from __future__ import annotations

import logging
import socket

import pytest
import uvicorn
from starlette.applications import Starlette
from uvicorn.config import STARTUP_FAILURE

from proxy.runtime.server import GatewayServer
from proxy.server.settings import uvicorn_settings


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def test_port_taken_between_bind_and_listen_ends_the_start(caplog: pytest.LogCaptureFixture) -> None:
    with _bound(0) as listener:
        port = listener.getsockname()[1]
        with _bound(port) as other:
            other.listen()
            config = uvicorn.Config(Starlette(), loop="uvloop", log_config=None, **uvicorn_settings())
            with caplog.at_level(logging.ERROR), pytest.raises(SystemExit) as exit_:
                GatewayServer(config).run([listener])
    assert exit_.value.code == STARTUP_FAILURE
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in caplog.text
