"""Child processes of the demo and of the tests: started in a session of their own, logged to a file, stopped.

A child gets its own session so that Ctrl-C in a terminal reaches only the parent, which then stops its
children in an order of its choosing.
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


class ChildError(Exception):
    """A child did not start, or went away; the text is one sentence with the child's own last words."""


class Child:
    """One child process.

    `log` takes its output (both streams), anew at each start. `env` adds to the environment of this process.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = [str(part) for part in command]
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """The exit code (negative: the signal's number), or None while it runs or before it was started."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start the program. Raises ChildError where it cannot be run."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log, _signals_wait():
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._env,
                    cwd=self._cwd,
                    start_new_session=True,
                )
            except OSError as error:
                raise ChildError(f"{self.name} cannot be run: {error}") from error

    def wait_for(self, pattern: str, timeout: float) -> re.Match[str]:
        """Wait for `pattern` in the output. Raises ChildError when the child ends, or prints nothing for too long."""
        deadline = time.monotonic() + timeout
        while True:
            if match := re.search(pattern, self.output()):
                return match
            self.check(deadline)
            time.sleep(_POLL_S)

    def check(self, deadline: float = inf) -> None:
        """Raise ChildError if the child has ended or `deadline` (monotonic seconds) has passed."""
        if not self.running:
            raise ChildError(f"{self.name} ended with code {self.returncode}: {self.last_words()}")
        if time.monotonic() > deadline:
            raise ChildError(f"{self.name} is not ready in time: {self.last_words()}")

    def output(self) -> str:
        try:
            return self.log.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def last_words(self, lines: int = 3) -> str:
        """Return the last lines of its output that are not empty, as one line."""
        said = [line.strip() for line in self.output().splitlines() if line.strip()]
        return " | ".join(said[-lines:])[-600:] or "it said nothing"

    def stop(self, grace: float = 10.0) -> None:
        """SIGTERM, and SIGKILL for its whole session when `grace` seconds were not enough."""
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


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Signals to end are kept for later: one that raised amid a start would leave a child that nobody knows of.

    They are caught, not blocked, since a child inherits what is blocked.
    """
    if threading.current_thread() is not threading.main_thread():  # where no handler runs anyway
        yield
        return
    came: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, keep) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
