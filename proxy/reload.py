"""Watches routing.yaml: a sound change is put in place within two seconds, a faulty one changes nothing.

The file's bytes are read twice a second and compared, since that sees every way a file can change: written in place,
replaced by rename, a symlink that points elsewhere (Kubernetes swaps `..data` under a ConfigMap), on any file system.
A change counts once two readings agree, so that a half-written file, or the moment between an editor's two renames, is
not taken for one. Reading and validating happen in a thread, away from the requests.

The contracts that the file names belong to it: a change of theirs is a change of the file, and so are their faults.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.config import Config, ConfigError, Problem, decode, parse, read
from proxy.contract.agreement import Agreement, Stamp, agree, stamp

logger = logging.getLogger("scribe_proxy.reload")

INTERVAL: Final = 0.5  # seconds between two readings

Reading = bytes | Problem  # what is there, or why nothing can be read
Sight = tuple[Reading, Stamp]  # the file, and the contracts


@dataclass(frozen=True, slots=True)
class Edition:
    """A text of the file, and when (in seconds since the epoch) it was judged."""

    text: str
    at: float


class Watcher:
    """Keeps the last good configuration, and what is wrong with the file as it stands now."""

    def __init__(
        self,
        path: Path,
        env: Mapping[str, str],
        adopt: Callable[[Config | None], None],
        config: Config | None = None,
        *,
        interval: float = INTERVAL,
    ) -> None:
        """`config` is what is in force already (else the file is loaded here). Raises ConfigError.

        `adopt` is called on the event loop with each sound change, and with None for each that is refused. If it
        raises over a sound change, that change is refused too.
        """
        self.path: Final = path
        self.problems: tuple[Problem, ...] = ()
        self.applied = 0  # changes put in place
        self.refused = 0  # changes that were faulty
        self.editions: tuple[Edition, ...] = ()  # the last two texts that were sound, the one in force last
        self.refused_edition: Edition | None = None  # the text that is refused now, where it is one
        self._env: Final = env
        self._adopt: Final = adopt
        self._interval: Final = interval
        reading = _read(path)
        self.config = self._parse(reading) if config is None else config
        self._stamp = stamp(self._contracts)
        self.agreement: Agreement = agree(path, self.config)
        self._seen: Sight = reading, self._stamp
        self._judged: Sight | None = self._seen if config is None else None  # `config` may be of an earlier text

    @property
    def _contracts(self) -> Path:
        return self.path.parent / self.config.contracts

    async def run(self) -> None:
        """Watch until cancelled. Nothing that happens to the file ends it."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.look()
            except Exception:
                logger.exception("%s: could not be looked at; the configuration in force stays", self.path)

    async def look(self) -> bool:
        """Read the file once; judge it if it changed and two readings agree. True if a change was judged."""
        now = await asyncio.to_thread(self._look)
        settled, self._seen = now == self._seen, now
        if not settled or now == self._judged:
            return False
        self._judged = now
        await self._judge(now)
        return True

    def _look(self) -> Sight:
        return _read(self.path), stamp(self._contracts)

    async def _judge(self, sight: Sight) -> None:
        reading, _ = sight
        try:
            config, contracts, agreement = await asyncio.to_thread(self._agreed, reading)
            if config != self.config or self.problems or contracts != self._stamp:
                self._put_in_place(config, agreement)
            self._stamp = contracts
            self._keep(_edition(reading))
        except ConfigError as error:
            self._refuse(error.problems, reading)
        except Exception as error:
            logger.exception("%s: a sound change could not be put in place", self.path)
            self._refuse((Problem(0, "", f"could not be put in place: {error}"),), reading)

    def _put_in_place(self, config: Config, agreement: Agreement) -> None:
        former, self.agreement = self.agreement, agreement
        try:
            self._adopt(config)
        except Exception:
            self.agreement = former
            raise
        self.config, self.problems = config, ()
        self.applied += 1
        logger.info("%s: revision %s is in force", self.path, config.revision)

    def _refuse(self, problems: tuple[Problem, ...], reading: Reading) -> None:
        self.refused_edition = _edition(reading)
        self.refused += 1
        self.problems = problems
        for problem in problems:
            logger.error("%s", problem.located(str(self.path)))
        logger.error("%s: refused; revision %s stays in force", self.path, self.config.revision)
        self._adopt(None)

    def _keep(self, edition: Edition | None) -> None:
        self.refused_edition = None
        if edition is not None and (not self.editions or edition.text != self.editions[-1].text):
            self.editions = (*self.editions[-1:], edition)

    def _agreed(self, reading: Reading) -> tuple[Config, Stamp, Agreement]:
        config = self._parse(reading)
        return config, stamp(self.path.parent / config.contracts), agree(self.path, config)

    def _parse(self, reading: Reading) -> Config:
        if isinstance(reading, Problem):
            raise ConfigError((reading,), str(self.path))
        return parse(decode(reading, str(self.path)), self._env, str(self.path))


def _read(path: Path) -> Reading:
    try:
        return read(path)
    except ConfigError as error:
        return error.problems[0]


def _edition(reading: Reading) -> Edition | None:
    """The text that was read, where it is one."""
    try:
        return Edition(decode(reading, "routing.yaml"), time.time()) if isinstance(reading, bytes) else None
    except ConfigError:
        return None
