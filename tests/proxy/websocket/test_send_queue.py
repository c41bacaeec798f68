"""The size of a socket's send queue, from the kernel."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proxy.websocket.send_queue import measure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


def test_unacknowledged_and_unsent_bytes_are_measured() -> None:
    with connected() as (writer, reader):
        assert measure(writer.fileno()) == (0, 0)
        sent = fill(writer)
        for _ in range(100):
            waiting, flying = measure(writer.fileno())
            if not flying:
                break
            time.sleep(0.02)
        assert 0 < waiting < sent
        assert flying == 0
        while measure(writer.fileno())[0]:
            assert reader.recv(1 << 20)


def test_other_descriptors_measure_zero() -> None:
    with socket.socket() as closed:
        pass
    assert measure(closed.fileno()) == (0, 0)
    with open("/dev/null") as file:
        assert measure(file.fileno()) == (0, 0)


@contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    server = socket.create_server(("127.0.0.1", 0))
    with server, socket.create_connection(server.getsockname()) as writer, server.accept()[0] as reader:
        yield writer, reader


def fill(writer: socket.socket) -> int:
    writer.setblocking(False)
    sent = 0
    while True:
        try:
            sent += writer.send(b"x" * 65536)
        except BlockingIOError:
            return sent
