"""Random stalls, as on a busy machine: a pytest plug-in for `-p tests.support.stalls --stalls SEED`.

Processes below the test run stop for up to 1.5 s (SIGSTOP), which changes the order between processes. Event loops of
the tests pause, and handle the sockets that are ready in another order and in part, which changes the order of tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import selectors
import signal
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

from tests.support.event_loop import AdvancedLoop

MAX_STOP: Final = 1.5
"""Seconds; most stops are much shorter."""
STOP_INTERVAL: Final = 0.4
MAX_PAUSE: Final = 0.06
"""Seconds for which a loop pauses before a callback."""
PAUSED_SHARE: Final = 0.02
EXCLUDED: Final = ("chrom", "headless_shell")
"""Beginnings of the names of processes that run as they are: a browser has too many."""
STOPPER: Final = pytest.StashKey["Stopper"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--stalls", metavar="SEED", help="stall processes and event loops at random")


def pytest_configure(config: pytest.Config) -> None:
    """Stall the loops of this process, and processes from the one that starts all others."""
    seed = config.getoption("--stalls")
    if seed is None:
        return
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    choice = random.Random(f"{seed} {worker}")
    asyncio.set_event_loop_policy(StallingPolicy(choice))
    if worker is None:
        config.stash[STOPPER] = Stopper(choice)
        config.stash[STOPPER].start()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let all processes continue."""
    if STOPPER in config.stash:
        config.stash[STOPPER].end()


class StallingSelector(selectors.DefaultSelector):
    """A selector that returns what is ready in any order and sometimes only a part of it; the rest follows."""

    def __init__(self, choice: random.Random) -> None:
        super().__init__()
        self._choice = choice

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout)
        self._choice.shuffle(ready)
        return ready[: self._choice.randint(1, len(ready))] if len(ready) > 1 else ready


class StallingLoop(AdvancedLoop):
    """A loop that pauses before some of its passes."""

    def __init__(self, choice: random.Random) -> None:
        super().__init__(StallingSelector(choice))
        self._choice = choice

    def _run_once(self) -> None:
        if self._choice.random() < PAUSED_SHARE:
            time.sleep(self._choice.uniform(0, MAX_PAUSE))
        super()._run_once()  # type: ignore[misc]


class StallingPolicy(asyncio.DefaultEventLoopPolicy):
    """The policy of loops that stall."""

    def __init__(self, choice: random.Random) -> None:
        super().__init__()
        self._choice = choice

    def new_event_loop(self) -> StallingLoop:
        return StallingLoop(self._choice)


class Stopper(threading.Thread):
    """A thread that stops one process below this one after the other."""

    def __init__(self, choice: random.Random) -> None:
        super().__init__(daemon=True)
        self._choice, self._ended = choice, threading.Event()

    def run(self) -> None:
        while not self._ended.wait(self._choice.uniform(0, STOP_INTERVAL)):
            if running := sorted(_running_below(os.getpid())):
                self._stop_process(self._choice.choice(running))

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _stop_process(self, process: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGSTOP)
            time.sleep(MAX_STOP * self._choice.random() ** 3)
            os.kill(process, signal.SIGCONT)


def _running_below(root: int) -> list[int]:
    """Return the processes below `root` that nobody has stopped."""
    children, states = defaultdict[int, list[int]](list), dict[int, str]()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = entry.read_text().partition("(")[2].rpartition(")")
            state, parent = rest.split()[:2]
            process = int(entry.parent.name)
            if not name.startswith(EXCLUDED):
                children[int(parent)].append(process)
                states[process] = state
    processes = list(children[root])
    for process in processes:
        processes += children[process]
    return [process for process in processes if states[process] not in "TtZ"]
