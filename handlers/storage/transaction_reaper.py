"""End dry-run transactions whose process cannot end them, from a separate process.

A transaction that has written blocks other writers of the same documents. MongoDB ends it when its client says so,
and otherwise only after a minute, even if the client dies, hangs or is stopped. The client cannot prevent that from
within. Each process that executes dry runs therefore starts a reaper process, and registers each transaction before
it begins and discards it after it has ended:

    process ── open SESSION DEADLINE ──▶ pipe ──▶ reaper ── killSessions ──▶ MongoDB
               done SESSION                       `GRACE` after DEADLINE, or immediately when the pipe closes

Registering costs one write to a pipe. The reaper sleeps, and has no connection to MongoDB, until there is a
transaction to end.

If the machine fails as a whole, or cannot reach MongoDB, the transaction stays open until MongoDB's own
`transactionLifetimeLimitSeconds` (60 by default). Lower that setting if this is too long.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

from bson import Binary
from bson.binary import UUID_SUBTYPE
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from common.log_lines import JsonFormatter

GRACE: Final = 0.25
"""Seconds after its deadline in which a dry run may still abort its own transaction."""

RETRY_DELAY: Final = 0.5
KILLS: Final = 3
TRIES: Final = 120

_SHUTDOWN_TIMEOUT: Final = 5.0
_KILL_TIMEOUT: Final = 2.0
_URL: Final = "MONGODB_URL"
_START: Final = "from handlers.storage.transaction_reaper import main; main()"

logger = logging.getLogger(__name__)

Kill = Callable[[Sequence[str]], str]
"""Ends the transactions of sessions, by the hexadecimal digits of their ids.

Returns the type of the error, or an empty text if MongoDB confirmed it.
"""


_unfinished: Final[list[subprocess.Popen[bytes]]] = []
"""Reaper processes that end later than the service that started them; a `Popen` must not be deleted before its end."""


class Reaper:
    """This process's end of the pipe; the first `watch` starts the reaper process.

    Methods raise `OSError` if no reaper process can be started.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: dict[str, float] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Return the id of the reaper process; None while none is running."""
        return None if self._process is None else self._process.pid

    def watch(self, session: Mapping[str, Any], deadline: float) -> None:
        """Register a session: its transaction is ended if it is still open at `deadline` (monotonic seconds)."""
        name = bytes(session["id"]).hex()
        self._open = {each: due for each, due in self._open.items() if due + _SHUTDOWN_TIMEOUT > time.monotonic()}
        self._open[name] = deadline
        self._send(f"open {name} {deadline}\n")

    def discard(self, session: Mapping[str, Any]) -> None:
        """Remove a session whose transaction has ended."""
        name = bytes(session["id"]).hex()
        self._open.pop(name, None)
        self._send(f"done {name}\n")

    def close(self) -> None:
        """Stop the reaper process, which first ends open transactions; blocks until it has exited or times out."""
        if self._process is not None and self._open:
            self._pipe.close()
            try:
                self._process.wait(_SHUTDOWN_TIMEOUT)
            except subprocess.TimeoutExpired:
                _unfinished.append(self._process)
            self._process = None
        self._kill_process()

    def _send(self, line: str) -> None:
        """Send a line to the reaper process; restart the process if it has died or does not read."""
        try:
            self._write(line)
        except OSError:
            self._kill_process()
            self._write("".join(f"open {name} {deadline}\n" for name, deadline in self._open.items()))

    def _write(self, lines: str) -> None:
        if self._process is None:
            self._process = _start(self._url)
        os.write(self._pipe.fileno(), lines.encode())

    def _kill_process(self) -> None:
        if self._process is not None:
            self._pipe.close()
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def _pipe(self) -> IO[bytes]:
        assert self._process is not None
        assert self._process.stdin is not None
        return self._process.stdin


def _start(url: str) -> subprocess.Popen[bytes]:
    """Start the reaper process in its own session.

    A terminal's Ctrl-C does not reach it; it exits when the pipe closes.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), _URL: url}
    command = [sys.executable, "-c", _START]
    process = subprocess.Popen(  # noqa: S603 - this interpreter, this module
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, bufsize=0, start_new_session=True
    )
    assert process.stdin is not None
    os.set_blocking(process.stdin.fileno(), False)
    return process


@dataclass
class _Open:
    """A session whose transaction may be open: when to end it, and how many attempts remain."""

    due: float
    tries: int


class ReaperSchedule:
    """The reaper's registered sessions and when to end them. Times are monotonic seconds.

    A due transaction is ended `KILLS` times: the last requests of its process may arrive after the first. If MongoDB
    is unreachable, attempts continue for as long as MongoDB takes to end the transaction by itself.
    """

    def __init__(self, kill: Kill, *, retry_delay: float = RETRY_DELAY) -> None:
        self._kill = kill
        self._retry_delay = retry_delay
        self._open: dict[str, _Open] = {}
        self._failing = False

    def read_line(self, line: str) -> None:
        """Apply a line that the process has sent."""
        word, name, *deadline = line.split()
        self._open.pop(name, None)
        if word == "open":
            self._open[name] = _Open(float(deadline[0]) + GRACE, TRIES)

    def expire_all(self, now: float) -> None:
        """Mark all transactions as due: the process has exited."""
        for each in self._open.values():
            each.due = min(each.due, now)

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds until the next transaction is due; None if none is open."""
        return max(0.0, min(each.due for each in self._open.values()) - now) if self._open else None

    def end_overdue(self, now: float) -> None:
        """End the due transactions."""
        overdue = {name: each for name, each in self._open.items() if each.due <= now}
        if not overdue:
            return
        cause = self._kill(list(overdue))
        ended = not cause
        if ended and any(each.tries == TRIES for each in overdue.values()):
            logger.warning("ended transactions that dry runs may have left open")
        if cause and not self._failing:  # once for an outage, not at each attempt
            logger.warning("transactions that dry runs may have left open cannot be ended: %s", cause)
        self._failing = bool(cause)
        for name, each in overdue.items():
            each.due = now + self._retry_delay
            each.tries = min(each.tries, KILLS if ended else TRIES) - 1
            if not each.tries:
                del self._open[name]


def serve(pipe: int, watch: ReaperSchedule) -> None:
    """Read the process's lines until it has exited and no transaction is left."""
    rest, alive = b"", True
    while alive or watch.seconds_left(0) is not None:
        left = watch.seconds_left(time.monotonic())
        if not alive:
            time.sleep(left or 0)
        elif select.select([pipe], [], [], left)[0]:
            chunk = os.read(pipe, 65536)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                watch.read_line(line.decode())
            if not chunk:
                alive = False
                watch.expire_all(time.monotonic())
        watch.end_overdue(time.monotonic())


def kill(url: str, names: Sequence[str], *, timeout: float = _KILL_TIMEOUT) -> str:
    """End transactions on the MongoDB of a URL; see `Kill`. `timeout`: seconds."""
    limit = int(timeout * 1000)
    ids = [{"id": Binary(bytes.fromhex(name), UUID_SUBTYPE)} for name in names]
    try:
        with MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=limit, timeoutMS=limit) as client:
            client.admin.command("killSessions", ids)
    except PyMongoError as error:
        return type(error).__name__
    return ""


def main() -> None:
    """Run the reaper process on standard input. It must not be killed together with its process."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter("reaper"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("0")
    serve(0, ReaperSchedule(partial(kill, os.environ[_URL])))
