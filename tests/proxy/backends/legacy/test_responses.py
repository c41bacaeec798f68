"""Unusual responses on real sockets: the client's outcome, and an ordinary request after each on the same pool."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.backends.legacy.http import HttpUpstream
from tests.support.profile import examples
from tests.support.sockets import exchange, read_head, scripted
from tests.support.unhurried import LONG_TIMEOUTS, lasting_pool
from tests.support.upstream_call import call
from tests.support.upstream_responses import RESPONSES, Response
from tests.support.waiting import until_listening

INNOCENT = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ninnocent"


class ScriptedLegacy:
    """A legacy that answers `/case` with the given parts, each read separately, and `/innocent` normally."""

    def __init__(self) -> None:
        self.parts: Sequence[bytes] = ()
        self.closes = False
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            head = await read_head(reader)
            if b" /innocent " in head:
                writer.write(INNOCENT)
                continue
            for part in self.parts:
                writer.write(part)
                if len(self.parts) < 2000:
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
            if self.closes:
                return


@asynccontextmanager
async def upstream_of(legacy: ScriptedLegacy) -> AsyncIterator[HttpUpstream]:
    async with scripted(legacy) as port:
        upstream = HttpUpstream(f"http://127.0.0.1:{port}", LONG_TIMEOUTS, lasting_pool(1))
        try:
            yield upstream
        finally:
            upstream.close()


def ways(raw: bytes) -> list[list[bytes]]:
    """Return the bytes whole, byte by byte, and in two parts at boundaries spread over all of them."""
    boundaries = range(1, len(raw), max(1, len(raw) // examples(20)))  # test_framing splits them everywhere
    halves = [[raw[:at], raw[at:]] for at in boundaries]
    bytewise = [[raw[at : at + 1] for at in range(len(raw))]] if len(raw) < 2000 else []
    return [[raw], *bytewise, *halves]


@pytest.mark.parametrize("case", RESPONSES, ids=lambda case: case.name)
async def test_response_leaves_the_pool_in_step(case: Response) -> None:
    legacy = ScriptedLegacy()
    legacy.closes = case.closes
    async with upstream_of(legacy) as upstream:
        for parts in ways(case.raw):
            legacy.parts = parts
            assert await call(upstream, case.method, "/case") == (case.status, case.body, case.whole), parts[:2]
            for method in ("POST", "GET"):
                assert await call(upstream, method, "/innocent") == (200, b"innocent", True), parts[:2]
            assert (legacy.connections == 1) == case.reused, parts[:2]


@pytest.mark.parametrize("late", [b"\r\n", b"x", b"HTTP/1.1 408 X\r\n\r\n", INNOCENT])
async def test_bytes_while_idle_are_not_an_answer(late: bytes) -> None:
    # They arrive after the answer, but before the event loop has read them.
    writers: list[asyncio.StreamWriter] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while True:
            await read_head(reader)
            writer.write(INNOCENT)

    async with scripted(script) as port:
        upstream = HttpUpstream(f"http://127.0.0.1:{port}", LONG_TIMEOUTS, lasting_pool(8))
        for method in ("GET", "POST", "GET"):
            assert await call(upstream, method, "/innocent") == (200, b"innocent", True)
            descriptor = writers[-1].get_extra_info("socket").fileno()
            with socket.socket(fileno=socket.dup(descriptor)) as same:
                same.send(late)
        upstream.close()
    assert len(writers) == 3


@pytest.fixture
async def nginx(tmp_path: Path) -> AsyncIterator[tuple[int, ScriptedLegacy]]:
    binary = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if binary is None:
        pytest.skip("nginx is not installed")
    legacy = ScriptedLegacy()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with scripted(legacy) as upstream:
        paths = " ".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi"))
        (tmp_path / "nginx.conf").write_text(
            f"daemon off; pid {tmp_path}/pid; worker_processes 1; events {{}} "
            f"http {{ access_log off; {paths} uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s; "
            f"upstream legacy {{ server 127.0.0.1:{upstream}; keepalive 4; }} "
            f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://legacy; proxy_http_version 1.1; "
            'proxy_set_header Connection ""; proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_read_timeout 1s; } } }'
        )
        arguments = ["-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")]
        process = await asyncio.create_subprocess_exec(binary, *arguments)
        try:
            await until_listening(port)
            yield port, legacy
        finally:
            process.terminate()
            await process.wait()


async def test_statuses_are_nginxs(nginx: tuple[int, ScriptedLegacy]) -> None:
    port, legacy = nginx
    different = {}
    for case in RESPONSES:
        if case.nginx:
            legacy.parts, legacy.closes = [case.raw], case.closes
            head = f"{case.method} /case HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            answer = await exchange(port, head.encode())
            if not answer.startswith(f"HTTP/1.1 {case.status} ".encode()):
                different[case.name] = answer[:40]
    assert different == {}
