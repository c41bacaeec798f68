"""Child processes of the demo, the tests and the bench, each with its own session or process group, and its log file.

A child has a group of its own so that Ctrl-C in a terminal reaches only the parent, which then stops its children in
order.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from types import FrameType

_POLL_S = 0.02
_ENDING = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class ManagedProcessError(Exception):
    """A process that did not start, or has ended. The message contains its last output."""


class ManagedProcess:
    """One child process.

    `log` receives its output (both streams) and is truncated at each start. `env` is added to this environment. With
    `own_session`, the kernel shares cores between this process and the child before it regards priorities (autogroups,
    sched(7)).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        own_session: bool = True,
        popen: type[subprocess.Popen[bytes]] = subprocess.Popen,
    ) -> None:
        self.name = name
        self.log = log
        self._command = [str(part) for part in command]
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._own_session = own_session
        self._popen = popen
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """The exit code (negative: a signal's number); None before the start and while it runs."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start the program. Raises ManagedProcessError if it cannot be run."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log, _deferred_signals():
            try:
                self._process = self._popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._env,
                    cwd=self._cwd,
                    start_new_session=self._own_session,
                    process_group=None if self._own_session else 0,
                )
            except OSError as error:
                raise ManagedProcessError(f"{self.name} cannot be run: {error}") from error

    def wait_for(self, pattern: str, timeout: float) -> re.Match[str]:
        """Wait for `pattern` in the output. Raises ManagedProcessError if it ends, or after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            if match := re.search(pattern, self.output()):
                return match
            self.check(deadline)
            time.sleep(_POLL_S)

    def check(self, deadline: float = inf) -> None:
        """Raise ManagedProcessError if the child has ended or `deadline` (monotonic seconds) has passed."""
        if not self.running:
            raise ManagedProcessError(f"{self.name} ended with code {self.returncode}: {self.last_output()}")
        if time.monotonic() > deadline:
            raise ManagedProcessError(f"{self.name} is not ready in time; {self.log} ends: {self.last_output()}")

    def output(self) -> str:
        try:
            return self.log.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def last_output(self, lines: int = 3) -> str:
        """Return the last lines of its output that are not empty, as one line."""
        lines_printed = [line.strip() for line in self.output().splitlines() if line.strip()]
        return " | ".join(lines_printed[-lines:])[-600:] or "it printed nothing"

    def stop(self, grace: float = 10.0) -> None:
        """Send SIGTERM to the process, and after `grace` seconds SIGKILL to its whole process group."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        if sys.platform != "win32":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class ProcessServer:
    """A server that is one child process. A subclass has `start`, which calls `_run` and waits until it answers."""

    _stop_timeout = 10.0
    _child: ManagedProcess | None = None

    @property
    def pid(self) -> int | None:
        """The process id; None while no process runs."""
        return self._child.pid if self._child else None

    def check(self) -> None:
        """Raise ManagedProcessError if it was started and has ended."""
        if self._child:
            self._child.check()

    def stop(self) -> None:
        """Stop it with SIGTERM, and after a timeout with SIGKILL."""
        if self._child:
            self._child.stop(self._stop_timeout)
            self._child = None

    def _run(
        self, name: str, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None
    ) -> ManagedProcess:
        """Run the program. Raises ManagedProcessError if it cannot be run."""
        self._child = ManagedProcess(name, command, log=log, env=env)
        self._child.start()
        return self._child


@contextlib.contextmanager
def _deferred_signals() -> Iterator[None]:
    """Defer signals until the end of the block: an exception during a start would leave a process that nobody stops.

    They are caught and not blocked, because a child inherits blocked signals.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread runs signal handlers
        yield
        return
    received: list[int] = []

    def defer(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, defer) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])
