"""Log output that never blocks and never fails, on real descriptors and in real processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from demo.ports import free_port
from proxy.observability import metrics
from proxy.observability.log_writer import LogHandler, LogWriter
from tests.support.command_line import PROGRAM
from tests.support.gateway_process import get, legacy
from tests.support.sockets import scripted
from tests.support.waiting import HANG_TIMEOUT, PROMPT_TIMEOUT

LINE = "x" * 99 + "\n"


def dropped(stream: str) -> float:
    samples = next(iter(metrics.LOG_LINES_DROPPED.collect())).samples
    return sum(s.value for s in samples if s.labels["stream"] == stream and s.name.endswith("_total"))


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def read_all(descriptor: int) -> bytes:
    data = b""
    while piece := os.read(descriptor, 1 << 16):
        data += piece
    return data


def test_lines_are_written_in_order_and_whole(pipe: tuple[int, int]) -> None:
    reader, end = pipe
    writer = LogWriter(end, "test-order")
    lines = [f"{number} {'é' * (number % 3000)}\n" for number in range(60)]
    received: list[bytes] = []
    reading = threading.Thread(target=lambda: received.append(read_all(reader)))
    reading.start()
    for line in lines:
        writer.write(line)
    writer.close()
    os.close(end)
    reading.join(HANG_TIMEOUT)
    assert received[0].decode() == "".join(lines)
    assert dropped("test-order") == 0


def test_unread_pipe_drops_beyond_the_bound_and_recovers(pipe: tuple[int, int]) -> None:
    reader, end = pipe
    writer = LogWriter(end, "test-unread", max_pending=10 * len(LINE))
    for _ in range(2000):
        writer.write(LINE)
    before = dropped("test-unread")
    assert 0 < before < 2000
    assert len(os.read(reader, 1 << 20)) > 0
    assert writer.flush(HANG_TIMEOUT)
    writer.write("after\n")
    writer.close()
    os.close(end)
    text = read_all(reader).decode()
    assert text.endswith("after\n")
    assert dropped("test-unread") == before
    assert {len(line) for line in text.splitlines()[1:-1]} <= {99}


def test_close_with_unread_pipe_ends_within_its_bound(pipe: tuple[int, int]) -> None:
    writer = LogWriter(pipe[1], "test-close")
    lines = 3000
    writer.write(LINE * lines)
    began = time.monotonic()
    writer.close(0.2)
    assert time.monotonic() - began < PROMPT_TIMEOUT
    assert not any(thread.name == "log-test-close" for thread in threading.enumerate())
    os.close(pipe[1])
    assert len(read_all(pipe[0])) + dropped("test-close") * len(LINE) == lines * len(LINE)


def test_close_with_unread_non_blocking_pipe_drops_a_long_line(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    writer = LogWriter(pipe[1], "test-long-line")
    writer.write("x" * 500_000 + "\n")
    writer.close(0.2)
    assert not any(thread.name == "log-test-long-line" for thread in threading.enumerate())
    assert dropped("test-long-line") == 1


@pytest.mark.parametrize("kind", ["closed pipe", "full disk", "closed descriptor"])
def test_failing_descriptor_drops_and_counts(
    kind: str, pipe: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    name = f"test-{kind}"
    end = os.open("/dev/full", os.O_WRONLY) if kind == "full disk" else pipe[1]
    if kind == "closed pipe":
        os.close(pipe[0])
    elif kind == "closed descriptor":
        os.close(end)
    writer = LogWriter(end, name, report_interval=1e9)
    for _ in range(5):
        writer.write(LINE)
    writer.close()
    assert dropped(name) == 5
    [message] = [message for message in caplog.messages if name in message]
    assert message.endswith("; 1 log lines were dropped")  # the others are reported after the interval


def test_non_blocking_pipe_gets_every_line(pipe: tuple[int, int]) -> None:
    reader, end = pipe
    os.set_blocking(end, False)
    writer = LogWriter(end, "test-non-blocking")
    writer.write(LINE * 2000)
    received: list[bytes] = []
    reading = threading.Thread(target=lambda: received.append(read_all(reader)))
    reading.start()
    writer.close(HANG_TIMEOUT)
    os.close(end)
    reading.join(HANG_TIMEOUT)
    assert received[0].decode() == LINE * 2000


def test_truncated_line_does_not_merge_with_the_next(tmp_path: Path) -> None:
    script = f"""
import resource, signal
from proxy.observability.log_writer import LogWriter
import os
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
end = os.open({str(tmp_path / "log")!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
resource.setrlimit(resource.RLIMIT_FSIZE, (50, resource.RLIM_INFINITY))
writer = LogWriter(end, "test")
writer.write({LINE!r})
writer.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.write("next\\n")
writer.close()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=HANG_TIMEOUT)
    assert (tmp_path / "log").read_text().splitlines() == ["x" * 50, "next"]


def test_unformattable_record_is_counted_as_dropped(pipe: tuple[int, int]) -> None:
    writer = LogWriter(pipe[1], "test-format")
    handler = LogHandler(writer)
    before = dropped("stderr")
    handler.handle(logging.LogRecord("a", logging.ERROR, "f", 1, "%d", ("no number",), None))
    writer.close()
    assert dropped("stderr") == before + 1


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    """Print and then raise, as a native app, so that the gateway logs an error for each request."""
    if scope["type"] == "http":
        print("y" * 300)  # noqa: T201 - what native apps do
        raise RuntimeError("no")
    await lifespan(receive, send)


async def lifespan(receive: Receive, send: Send) -> None:
    for answer in ("lifespan.startup.complete", "lifespan.shutdown.complete"):
        await receive()
        await send({"type": answer})


@asynccontextmanager
async def outlet(kind: str) -> AsyncIterator[int]:
    """Return a descriptor for both standard streams.

    It is a pipe that nobody reads, one whose reader is closed, or a full disk.
    """
    reader, writer = os.pipe()
    if kind == "closed pipe":
        os.close(reader)
    if kind == "full disk":
        os.close(writer)
        writer = os.open("/dev/full", os.O_WRONLY)
    try:
        yield writer
    finally:
        for descriptor in (reader, writer):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@pytest.mark.parametrize(
    ("kind", "workers"),
    [
        ("unread pipe", "1"),
        pytest.param("unread pipe", "2", marks=pytest.mark.slow),
        pytest.param("closed pipe", "1", marks=pytest.mark.slow),
        pytest.param("full disk", "1", marks=pytest.mark.slow),
    ],
)
async def test_gateway_answers_when_its_logs_are_unwritable(tmp_path: Path, kind: str, workers: str) -> None:
    port, ops = free_port(), free_port()
    file = tmp_path / "routing.yaml"
    async with scripted(legacy) as legacy_port, outlet(kind) as end:
        file.write_text(
            f"legacy: {{url: 'http://127.0.0.1:{legacy_port}'}}\n"
            "native: tests.proxy.observability.test_log_writer:failing\n"
            "mongodb: {url: ''}\nroutes: [{name: native, match: GET /native, native: 100%}]\n"
        )
        command = [PROGRAM, "serve", "--config", file, "--port", port, "--ops-port", ops, "--workers", workers]
        process = await asyncio.create_subprocess_exec(
            *map(str, command), stdout=end, stderr=end, start_new_session=True
        )
        try:
            await answering(ops)
            statuses: list[bytes] = []
            for _ in range(30):
                responses = await asyncio.gather(*(get(port, path) for path in ("/x", "/native") * 10))
                statuses += [head.split(b" ")[1] for head, _ in responses]
            assert statuses.count(b"200") == statuses.count(b"502") + statuses.count(b"500") == 300
            lines_dropped = await counter(ops, "scribe_proxy_log_lines_dropped_total")
            assert lines_dropped > 0 or kind == "unread pipe"
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), HANG_TIMEOUT)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def answering(ops: int, seconds: float = HANG_TIMEOUT) -> None:
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(OSError):
                if (await get(ops, "/healthz"))[0].startswith(b"HTTP/1.1 200"):
                    return
            await asyncio.sleep(0.05)


async def counter(ops: int, name: str) -> float:
    lines = (await get(ops, "/metrics"))[1].decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))
