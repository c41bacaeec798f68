"""Ends the transactions of dry runs whose process cannot do so any more, from a process of its own.

A transaction that has written keeps everybody else from writing the same documents. MongoDB ends it when its
client says so, and by itself only after a minute: not when the client dies, stands still, or is stopped. Nothing
within the client could help then, so each process that runs writes dry keeps a guardian beside it, and tells it of each
transaction before that begins and after it has ended:

    process ── open SESSION OVER ──▶ pipe ──▶ guardian ── killSessions ──▶ MongoDB
               done SESSION                   once OVER has passed by `GRACE`, or at once when the pipe closes

Telling costs a write to a pipe. The guardian sleeps, and is not connected to MongoDB, until there is something
to end.

What remains: where the machine dies as a whole, or loses MongoDB, the transaction stays open until MongoDB's own
`transactionLifetimeLimitSeconds` (60 unless set) have passed. Whoever finds that too long lowers it.
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

GRACE: Final = 0.25
"""Seconds after its end in which a dry run may still abort its transaction by itself."""

AGAIN: Final = 0.5
KILLS: Final = 3
TRIES: Final = 120

_FAREWELL: Final = 5.0
_PATIENCE: Final = 2000
_URL: Final = "MONGODB_URL"
_START: Final = "from handlers.storage.transaction_reaper import main; main()"

logger = logging.getLogger(__name__)

Kill = Callable[[Sequence[str]], bool]
"""Ends the transactions of sessions, by the hexadecimal digits of their ids; whether MongoDB said that it did."""


class Reaper:
    """This process's end of the pipe; the guardian itself is started by the first `watch`.

    Both raise `OSError` where there is no guardian to be had.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: dict[str, float] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, session: Mapping[str, Any], over: float) -> None:
        """Have a session's transaction ended where this process has not done so by `over` (monotonic seconds)."""
        name = bytes(session["id"]).hex()
        self._open = {each: due for each, due in self._open.items() if due + _FAREWELL > time.monotonic()}
        self._open[name] = over
        self._say(f"open {name} {over}\n")

    def forget(self, session: Mapping[str, Any]) -> None:
        """The transaction has ended."""
        name = bytes(session["id"]).hex()
        self._open.pop(name, None)
        self._say(f"done {name}\n")

    def close(self) -> None:
        """Let the guardian go, which first ends what is still open; blocks for as long as that takes as a rule."""
        if self._process is not None and self._open:
            self._pipe.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_FAREWELL)
            self._process = None
        self._dismiss()

    def _say(self, line: str) -> None:
        """Tell the guardian; where it has died, or reads no more, a new one."""
        try:
            self._write(line)
        except OSError:
            self._dismiss()
            self._write("".join(f"open {name} {over}\n" for name, over in self._open.items()))

    def _write(self, lines: str) -> None:
        if self._process is None:
            self._process = _start(self._url)
        os.write(self._pipe.fileno(), lines.encode())

    def _dismiss(self) -> None:
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
    """The guardian, out of reach of a terminal's Ctrl-C: it goes when the pipe closes."""
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
    """A session whose transaction may be open: when to end it, and how often to try."""

    due: float
    tries: int


class ReaperClient:
    """What the guardian knows, and does about it. Times are monotonic seconds.

    What is due is ended `KILLS` times: what its process sent last may arrive after the first. Where MongoDB cannot
    be told, that is tried for as long as it takes MongoDB to end it by itself.
    """

    def __init__(self, kill: Kill) -> None:
        self._kill = kill
        self._open: dict[str, _Open] = {}

    def note(self, line: str) -> None:
        """A line that the process has sent."""
        word, name, *over = line.split()
        self._open.pop(name, None)
        if word == "open":
            self._open[name] = _Open(float(over[0]) + GRACE, TRIES)

    def note_death(self, now: float) -> None:
        """The process has gone: all are due."""
        for each in self._open.values():
            each.due = min(each.due, now)

    def seconds_left(self, now: float) -> float | None:
        """Until the next is due; None where nothing is open."""
        return max(0.0, min(each.due for each in self._open.values()) - now) if self._open else None

    def end_overdue(self, now: float) -> None:
        """End what is due."""
        overdue = {name: each for name, each in self._open.items() if each.due <= now}
        if not overdue:
            return
        ended = self._kill(list(overdue))
        if ended and any(each.tries == TRIES for each in overdue.values()):
            logger.warning("ended transactions that dry runs may have left open")
        for name, each in overdue.items():
            each.due = now + AGAIN
            each.tries = min(each.tries, KILLS if ended else TRIES) - 1
            if not each.tries:
                del self._open[name]


def guard(pipe: int, watch: ReaperClient) -> None:
    """Listen to the process until it has gone and nothing of it is left."""
    rest, alive = b"", True
    while alive or watch.seconds_left(0) is not None:
        left = watch.seconds_left(time.monotonic())
        if not alive:
            time.sleep(left or 0)
        elif select.select([pipe], [], [], left)[0]:
            heard = os.read(pipe, 65536)
            *lines, rest = (rest + heard).split(b"\n")
            for line in lines:
                watch.note(line.decode())
            if not heard:
                alive = False
                watch.note_death(time.monotonic())
        watch.end_overdue(time.monotonic())


def kill(url: str, names: Sequence[str]) -> bool:
    """As `Kill`, on the MongoDB of a URL."""
    ids = [{"id": Binary(bytes.fromhex(name), UUID_SUBTYPE)} for name in names]
    try:
        with MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=_PATIENCE, timeoutMS=_PATIENCE) as client:
            client.admin.command("killSessions", ids)
    except PyMongoError as error:
        logger.warning("transactions that dry runs may have left open cannot be ended: %s", type(error).__name__)
        return False
    return True


def main() -> None:
    """The guardian process, which listens to its standard input. It is not to go together with its process."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("0")
    guard(0, ReaperClient(partial(kill, os.environ[_URL])))
