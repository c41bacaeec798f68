"""Write log output without ever blocking or raising: a bounded queue, and a thread that writes it.

Writing to a pipe that nobody reads blocks; writing to a closed pipe or a full disk fails. Both drop log lines, which
are counted in `scribe_proxy_log_lines_dropped_total`, and neither affects a request.

    access log ─▶ LogWriter(1) ─┐
    print()    ─▶ LogWriter(1) ─┼─▶ thread: poll, write at most PIPE_BUF bytes of whole lines
    logging    ─▶ LogWriter(2) ─┘
"""

from __future__ import annotations

import io
import logging
import os
import select
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Final, Literal

from common.log_lines import JsonFormatter
from proxy.failure_log import hide_messages
from proxy.observability import metrics

logger = logging.getLogger("scribe_proxy.logs")

MAX_PENDING: Final = 1 << 20
"""Maximum bytes that wait to be written, for each writer."""
FLUSH_TIMEOUT: Final = 2.0
"""Seconds that a shutdown waits for pending lines."""
_STDERR: Final = 2
_POLL_INTERVAL: Final = 0.1
REPORT_INTERVAL: Final = 10.0
"""Seconds between two reports of dropped lines."""
_CHUNK: Final = select.PIPE_BUF  # POSIX: such a write to a pipe is atomic, and does not block once the pipe is writable

Reason = Literal["full", "failed", "shutdown"]


class LogWriter:
    """Writer of whole lines to a file descriptor, in order and from any thread. `stream` names it in messages."""

    def __init__(
        self,
        descriptor: int,
        stream: str,
        max_pending: int = MAX_PENDING,
        report_interval: float = REPORT_INTERVAL,
    ) -> None:
        self._descriptor: Final = descriptor
        self._stream: Final = stream
        self._max_pending: Final = max_pending
        self._pending: deque[bytes] = deque()
        self._size = 0  # bytes pending and being written
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._deadline: float | None = None  # of a shutdown that has begun
        self._cut = False  # the last line was written partially
        self._dropped = 0  # lines since the last report
        self._report_interval: Final = report_interval
        self._reported = -report_interval

    def write(self, text: str) -> None:
        """Queue lines, each with its newline. If the queue is full or the writer closed, drop and count them."""
        data = text.encode("utf-8", "backslashreplace")
        with self._changed:
            closed = self._deadline is not None
            if not closed and self._size + len(data) <= self._max_pending:
                self._pending.append(data)
                self._size += len(data)
                self._start()
                self._changed.notify_all()
                return
        self._drop(data, "shutdown" if closed else "full")

    def flush(self, timeout: float = FLUSH_TIMEOUT) -> bool:
        """Wait until all queued lines are written or dropped. Return False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._size, timeout)

    def close(self, timeout: float = FLUSH_TIMEOUT) -> None:
        """Write queued lines for at most `timeout` seconds, drop the rest, and end the thread."""
        with self._changed:
            self._deadline = time.monotonic() + timeout
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout + 2 * _POLL_INTERVAL)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"log-{self._stream}", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._deadline is not None)
                if not self._pending:
                    return
                data = self._pending.popleft()
            self._emit(data)
            with self._changed:
                self._size -= len(data)
                self._changed.notify_all()

    def _emit(self, data: bytes) -> None:
        for chunk in _chunks(data, _chunk_size(self._descriptor)):
            if not self._wait_until_writable():
                self._drop(chunk, "shutdown")
                continue
            try:
                self._write_all(b"\n" + chunk if self._cut else chunk)
            except OSError as error:
                self._drop(chunk, "failed", error)
            else:
                self._report("is written again", working=True)

    def _wait_until_writable(self) -> bool:
        """Return False once the shutdown's deadline has passed."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        while not poll.poll(0 if self._is_late() else _POLL_INTERVAL * 1000):
            if self._is_late():
                return False
            self._report("is not read")
        return True

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _write_all(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            try:
                written = os.write(self._descriptor, rest)
            except BlockingIOError:  # another process set O_NONBLOCK on the shared descriptor
                if not self._wait_until_writable():
                    raise
                continue
            rest = rest[written:]
            self._cut = bool(rest)

    def _drop(self, data: bytes, reason: Reason, error: OSError | None = None) -> None:
        lines = data.count(b"\n") or 1
        metrics.LOG_LINES_DROPPED.labels(self._stream, reason).inc(lines)
        with self._changed:
            self._dropped += lines
        if error is not None:
            self._report(f"cannot be written ({os.strerror(error.errno or 0)})")

    def _report(self, state: str, *, working: bool = False) -> None:
        """Log the number of dropped lines, at most once in the interval. stderr can report only while it works."""
        if not self._dropped or time.monotonic() - self._reported < self._report_interval:
            return
        if self._descriptor == _STDERR and not working:
            return
        with self._changed:
            dropped, self._dropped = self._dropped, 0
        self._reported = time.monotonic()
        logger.error("%s %s; %d log lines were dropped", self._stream, state, dropped)


def _chunk_size(descriptor: int) -> int:
    """Return the maximum bytes of a write that does not block: PIPE_BUF, or no limit for a regular file."""
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        is_file = False
    return MAX_PENDING if is_file else _CHUNK


def _chunks(data: bytes, size: int) -> Iterator[bytes]:
    """Split data at line ends into pieces of at most `size` bytes; a longer line is not split."""
    begin = 0
    while begin < len(data):
        end = len(data)
        if end - begin > size:
            end = data.rfind(b"\n", begin, begin + size) + 1 or data.find(b"\n", begin + size) + 1 or len(data)
        yield data[begin:end]
        begin = end


class LogHandler(logging.Handler):
    """A handler that passes records of `logging` to a LogWriter."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self.writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.writer.write(self.format(record) + "\n")
        except Exception:  # the record's arguments do not fit its message
            metrics.LOG_LINES_DROPPED.labels("stderr", "failed").inc()

    def flush(self) -> None:
        """Wait for pending lines; called by `logging.shutdown`."""
        self.writer.flush()


class _TextStream(io.TextIOBase):
    """Replacement for `sys.stdout` or `sys.stderr`, so that `print` in a native app does not block either."""

    def __init__(self, writer: LogWriter, descriptor: int) -> None:
        self._writer, self._descriptor = writer, descriptor

    encoding = "utf-8"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, text: str) -> int:
        if text:
            self._writer.write(text)
        return len(text)


def configure_logging(process: str = "gateway") -> None:
    """Send the records of `logging` as JSON through a LogWriter to standard error, unless logging is configured."""
    if not logging.root.handlers:
        handler = LogHandler(LogWriter(2, "stderr"))
        handler.setFormatter(JsonFormatter(process))
        logging.basicConfig(level=logging.WARNING, handlers=[handler])
        hide_messages()
    logging.getLogger("scribe_proxy").setLevel(logging.INFO)  # the root's level: at INFO, httpx logs whole URLs


def redirect_standard_streams() -> None:
    """Send printed output through LogWriters."""
    sys.stdout = _TextStream(LogWriter(1, "stdout"), 1)
    sys.stderr = _TextStream(LogWriter(2, "stderr"), 2)


def flush_logs() -> None:
    """Write pending records of `logging` for at most `FLUSH_TIMEOUT` seconds, before a signal ends the process."""
    for handler in logging.root.handlers:
        if isinstance(handler, LogHandler):
            handler.writer.flush()
