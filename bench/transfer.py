"""Measure the gateway's memory and time for a body of 1 GiB in each direction."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from bench.contenders import routing, server_group

GIB = 1 << 30
BLOCK = b"x" * (1 << 20)


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer. `grown`: growth of the gateway's peak memory in bytes. `seconds`: its duration."""

    direction: str
    grown: int
    seconds: float


def transfer() -> list[Transfer]:
    """Measure an upload, then a download, with a legacy that reads or writes as fast as it can."""
    with _Warehouse() as warehouse, server_group() as contenders:
        port, child = contenders.gateway(routing(warehouse.port, routes=30))
        assert child.pid is not None
        _send(port, b"GET /small HTTP/1.1\r\n", 0)
        return [
            _timed("up", port, child.pid, b"POST /up HTTP/1.1\r\nContent-Length: %d\r\n" % GIB, GIB),
            _timed("down", port, child.pid, b"GET /down HTTP/1.1\r\n", 0),
        ]


def _timed(direction: str, port: int, pid: int, head: bytes, upload: int) -> Transfer:
    before = _peak(pid)
    started = time.monotonic()
    received = _send(port, head, upload)
    expected = 2 if upload else GIB
    if received != expected:
        raise SystemExit(f"{direction}: {received} bytes arrived instead of {expected}")
    return Transfer(direction, _peak(pid) - before, time.monotonic() - started)


def _send(port: int, head: bytes, upload: int) -> int:
    """Send a request with a body of `upload` bytes; return the length of the answer's body."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(head + b"Host: bench\r\nConnection: close\r\n\r\n")
        for _ in range(upload // len(BLOCK)):
            client.sendall(BLOCK)
        received = client.recv(1 << 16)
        while b"\r\n\r\n" not in received:
            received += client.recv(1 << 16)
        total = len(received) - received.index(b"\r\n\r\n") - 4
        while data := client.recv(1 << 20):
            total += len(data)
        return total


def _peak(pid: int) -> int:
    """Return the peak resident memory of the process in bytes (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this system does not report the memory of a process")


class _Warehouse:
    """A legacy that accepts any upload and answers /down with 1 GiB."""

    def __enter__(self) -> _Warehouse:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(1 << 16)
            if head.startswith(b"POST"):
                left = GIB - (len(head) - head.index(b"\r\n\r\n") - 4)
                while left:
                    left -= len(client.recv(min(left, 1 << 20)))
            if head.startswith(b"GET /down"):
                client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % GIB)
                for _ in range(GIB // len(BLOCK)):
                    client.sendall(BLOCK)
            else:
                client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
