"""Watch routing.yaml: apply a valid change within two seconds, and report an invalid one.

The watcher reads and compares the file's bytes once a second, and twice while a change settles. This detects every kind
of change on any file system: writing in place, replacement by rename, a symlink that changes (Kubernetes swaps `..data`
under a ConfigMap). Contracts that the file names are part of it, with their changes and their errors.

A change is applied or refused once it has settled, so that a half-written file is never applied:

    two readings agree          in bytes, inode and modification time
    no process is writing       according to the kernel (`file_state`); a writer that never closes is reported
    not a prefix                a beginning of the running text, written in place, must be stable for `prefix_delay`
    some routes are left        a file that removes the last route is refused

Reading and validation run in separate threads. A read that hangs is counted and logged, and another one is started, so
that reloading continues as soon as the file system responds or the path changes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from common.failure_trace import trace_of
from proxy.config.excerpt import excerpt
from proxy.config.loading import decode
from proxy.config.models import Config
from proxy.config.problems import ConfigError, Problem
from proxy.contract.bundle import ContractBundle
from proxy.observability import metrics
from proxy.periodic import tick
from proxy.runtime.daemon_thread import DaemonThreads
from proxy.runtime.file_state import Content, FileState, read_state
from proxy.runtime.last_good import LastGood, LoadedConfig, load_config, load_content

logger = logging.getLogger("scribe_proxy.reload")

MAX_HANGING: Final = 8
"""Maximum number of threads that hang at once."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ConfigSnapshot:
    """One text of the file, and the time of its validation in seconds since the epoch."""

    text: str
    at: float


@dataclass(frozen=True, slots=True)
class WatchTimings:
    """Times of a watcher in seconds.

    `interval`: between two readings while a change settles; otherwise twice as long. `read_timeout`: until a read
    counts as hanging; doubled for each read that already hangs. `prefix_delay`: a prefix of the running text is
    applied only after it is unchanged for this long. `writer_timeout`: until a file that is still open for writing is
    reported. `clock` is the monotonic one of both.
    """

    interval: float = 0.5
    read_timeout: float = 5.0
    prefix_delay: float = 10.0
    writer_timeout: float = 10.0
    clock: Callable[[], float] = time.monotonic


class _Readings:
    """The state of the file as last read. `judged`: the version that was last applied or refused, if any."""

    def __init__(self, judged: object, clock: Callable[[], float]) -> None:
        self.judged = judged
        self._clock = clock
        self._last: FileState | None = None
        self._since = 0.0  # by `clock`

    @property
    def is_settled(self) -> bool:
        return self._last is not None and self._last.version == self.judged

    def add(self, state: FileState) -> float | None:
        """Add a reading. Return the seconds for which the state is unchanged; None if it has changed."""
        now = self._clock()
        if state == self._last:
            return now - self._since
        self._last, self._since = state, now
        return None


class ConfigWatcher:
    """Watcher with the last good configuration and the problems of the current file."""

    def __init__(
        self,
        path: Path,
        env: Mapping[str, str],
        apply: Callable[[Config | None], None],
        loaded: LoadedConfig | None = None,
        *,
        last_good: LastGood | None = None,
        timings: WatchTimings = WatchTimings(),
    ) -> None:
        """Create a watcher. `loaded` is already in force; without it the file is loaded here. Raises ConfigError.

        `apply` is called on the event loop with each valid change, and with None for each refused one. A valid change
        for which it raises an error is refused too.
        """
        loaded = loaded or load_config(path, env)
        self.path: Final = path
        self.config = loaded.config
        self.bundle: ContractBundle = loaded.bundle
        self.problems = loaded.problems
        self.applied = self.refused = 0  # changes
        self.snapshots: tuple[ConfigSnapshot, ...] = ()  # the last two valid texts, the one in force last
        self.refused_snapshot: ConfigSnapshot | None = None  # the text refused now, if any
        self._env, self._apply, self._last_good, self._timings = env, apply, last_good, timings
        self._threads: Final = DaemonThreads("config")
        self._unreachable = False  # the last read hung
        self._contracts, self._content = loaded.contracts, loaded.content  # of the configuration in force
        self._inode: tuple[int, int] | None = None  # of the file when its content was applied
        self._readings = _Readings(None if loaded.saved_at else (loaded.content, loaded.contracts), timings.clock)
        self._remember(_snapshot(loaded.content, loaded.saved_at or time.time()))

    @property
    def _directory(self) -> Path:
        return self.path.parent / self.config.contracts

    async def run(self) -> None:
        """Watch until cancelled; no state of the file ends this."""
        if not self.problems:
            await self._guarded(self._save)
        while True:
            await tick(self._timings.interval * (2 if self._readings.is_settled else 1))
            await self._guarded(self.check)

    async def check(self) -> bool:
        """Read the file once; validate a settled change. Return True if a change was applied or refused."""
        state = await self._in_thread(partial(read_state, self.path, self._directory))
        unchanged_for = self._readings.add(state)
        if unchanged_for is None:
            return False
        if self._readings.is_settled:
            self._inode, self._unreachable = state.inode, False
            return False
        if state.open_for_writing:
            return unchanged_for >= self._timings.writer_timeout and self._refuse_unfinished(state)
        return await self._judge(state, unchanged_for)

    async def _guarded(self, step: Callable[[], Awaitable[object]]) -> None:
        try:
            await step()
        except TimeoutError:
            self._report_hanging()
        except Exception as error:
            logger.error("%s: could not be read (%s); the configuration in force stays", self.path, trace_of(error))

    async def _in_thread(self, function: Callable[[], T]) -> T:
        """Run a function that reads files. Raises TimeoutError if it hangs, or if too many calls hang already."""
        hanging = self._threads.running
        if hanging >= MAX_HANGING:
            raise TimeoutError
        try:
            return await self._threads.run(function, self._timings.read_timeout * 2**hanging)
        except TimeoutError:
            metrics.CONFIG_READ_TIMEOUTS.inc()
            raise

    def _report_hanging(self) -> None:
        """Refuse an unreadable file once; the next successful read is validated again."""
        self._readings.judged = None
        if not self._unreachable:
            self._unreachable = True
            problem = Problem(0, "", f"cannot be read: no answer within {self._timings.read_timeout:g} s")
            self._refuse((problem,), problem)

    def _refuse_unfinished(self, state: FileState) -> bool:
        problem = Problem(0, "", "is still open for writing by another process, and is applied once that closes it")
        version = problem, state.contracts
        if self._readings.judged == version:
            return False
        self._readings.judged = version
        self._refuse((problem,), state.content)
        return True

    async def _judge(self, state: FileState, unchanged_for: float) -> bool:
        """Apply or refuse a settled change. Return False if it must be unchanged for longer."""
        self._readings.judged = state.version
        try:
            loaded = await self._in_thread(partial(load_content, state.content, self.path, self._env))
            self._unreachable = False
            if self._may_be_unfinished(state) and unchanged_for < self._timings.prefix_delay:
                self._readings.judged = None
                return False
            self._check_routes(loaded.config)
            self._put_in_force(loaded, state)
            await self._save()
        except ConfigError as error:
            self._refuse(error.problems, state.content)
        except TimeoutError:
            raise
        except Exception as error:
            logger.error("%s: a valid change could not be applied: %s", self.path, trace_of(error))
            self._refuse((Problem(0, "", f"could not be applied: {trace_of(error)}"),), state.content)
        return True

    def _may_be_unfinished(self, state: FileState) -> bool:
        """Return True for a prefix of the running text, unless a rename put it there."""
        if not isinstance(state.content, bytes) or not isinstance(self._content, bytes):
            return False
        shorter = len(state.content) < len(self._content) and self._content.startswith(state.content)
        return shorter and self._inode in (None, state.inode)

    def _check_routes(self, config: Config) -> None:
        if self.config.routes and not config.routes:
            number = len(self.config.routes)
            message = f"no route is left of {number}: the file may be half-written (native: 0% gives a route to legacy)"
            raise ConfigError((Problem(0, "routes", message),), str(self.path))

    def _put_in_force(self, loaded: LoadedConfig, state: FileState) -> None:
        if loaded.config != self.config or self.problems or loaded.contracts != self._contracts:
            self._apply_loaded(loaded)
        self._contracts, self._content, self._inode = loaded.contracts, state.content, state.inode
        self.refused_snapshot = None
        self._remember(_snapshot(state.content, time.time()))

    def _apply_loaded(self, loaded: LoadedConfig) -> None:
        former, self.bundle = self.bundle, loaded.bundle
        try:
            self._apply(loaded.config)
        except Exception:
            self.bundle = former
            raise
        self.config, self.problems = loaded.config, ()
        self.applied += 1
        logger.info("%s: revision %s is in force", self.path, loaded.config.revision)

    def _refuse(self, problems: tuple[Problem, ...], content: Content) -> None:
        self.refused_snapshot = _snapshot(content, time.time())
        self.refused += 1
        self.problems = problems
        text = self.refused_snapshot.text if self.refused_snapshot is not None else ""
        log_problems(self.path, problems, text)
        logger.error("%s: refused; revision %s stays in force", self.path, self.config.revision)
        self._apply(None)

    def _remember(self, snapshot: ConfigSnapshot | None) -> None:
        if snapshot is not None and (not self.snapshots or snapshot.text != self.snapshots[-1].text):
            self.snapshots = (*self.snapshots[-1:], snapshot)

    async def _save(self) -> None:
        if self._last_good is not None and isinstance(self._content, bytes):
            await self._in_thread(partial(self._last_good.save, self._content, self._directory))


def log_problems(path: Path, problems: Iterable[Problem], text: str) -> None:
    """Log each problem of a refused file, with the line of its text and a caret below that."""
    for problem in problems:
        logger.error("%s", "\n".join((problem.located(str(path), column=True), *excerpt(text, problem))))


def _snapshot(content: Content, at: float) -> ConfigSnapshot | None:
    """Return the text that was read; None if it is not text."""
    try:
        return ConfigSnapshot(decode(content, "routing.yaml"), at) if isinstance(content, bytes) else None
    except ConfigError:
        return None
