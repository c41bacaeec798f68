"""The last good configuration on disk, so that a restart does not depend on the current state of the file.

    file is valid     ─▶ it is used, and saved once the process runs with it
    file is refused   ─▶ the saved one is used: logged, `scribe_proxy_config_valid` is 0, errors on the ops page
    nothing is saved  ─▶ fatal, with the same message as `scribe-proxy check`

The text of routing.yaml and of its contracts is saved. Values from the environment are not part of the text and are
filled in at each start. Each routing.yaml path has one saved file, readable only by its owner.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from proxy.config.loading import decode, list_reader, parse
from proxy.config.models import Config
from proxy.config.problems import ConfigError, Problem
from proxy.config.targets import list_files
from proxy.contract.bundle import ContractBundle, Stamp, load_bundle, load_named_bundle
from proxy.contract.faults import ContractError
from proxy.runtime.file_state import Content, read_state, stamp_of

logger = logging.getLogger("scribe_proxy.reload")

CONTRACT_FILES: Final = ("openapi.yaml", "divergences.yaml")


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A valid configuration with its contracts, and the text from which it was read.

    `saved_at`: seconds since the epoch at which a last good configuration was saved; None for the current file.
    `problems` are those of the current file.
    """

    config: Config
    bundle: ContractBundle
    content: Content
    contracts: Stamp
    saved_at: float | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class SavedConfig:
    """The texts of a routing.yaml, of its contracts and of its lists of values, by the names of their files."""

    text: str
    contracts: Mapping[str, str]
    at: float
    lists: Mapping[str, str] = field(default_factory=dict)


def load_config(
    path: Path, env: Mapping[str, str], last_good: LastGood | None = None, *, needed: Container[str] | None = None
) -> LoadedConfig:
    """Load a file or its last good version. Raises ConfigError with the file's problems if neither is valid.

    `needed`: the sections whose variables must be set, by default all.
    """
    try:
        return load_content(read_state(path, path.parent).content, path, env, needed=needed)
    except ConfigError as error:
        loaded = _load_saved(path, env, last_good, error.problems, needed) if last_good is not None else None
        if loaded is None:
            raise
        return loaded


def load_content(
    content: Content, path: Path, env: Mapping[str, str], *, needed: Container[str] | None = None
) -> LoadedConfig:
    """Load the content of a file and the contracts that it names. Raises ConfigError. `needed`: see `load_config`."""
    if isinstance(content, Problem):
        raise ConfigError((content,), str(path))
    config = parse(decode(content, str(path)), env, str(path), lists=list_reader(path.parent), needed=needed)
    contracts = stamp_of(path, path.parent / config.contracts, content)
    return LoadedConfig(config, load_named_bundle(path, config), content, contracts)


def _load_saved(
    path: Path,
    env: Mapping[str, str],
    last_good: LastGood,
    problems: tuple[Problem, ...],
    needed: Container[str] | None,
) -> LoadedConfig | None:
    saved = last_good.load()
    if saved is None:
        return None
    try:
        config = parse(saved.text, env, f"{path} (last good)", lists=saved.lists.__getitem__, needed=needed)
        bundle = _load_saved_bundle(saved)
    except (ConfigError, ContractError) as error:
        logger.error("the last good configuration cannot be used: %s", error)
        return None
    return LoadedConfig(config, bundle, saved.text.encode(), (), saved.at, problems)


def _load_saved_bundle(saved: SavedConfig) -> ContractBundle:
    with tempfile.TemporaryDirectory(prefix="scribe-proxy-") as directory:
        for name in CONTRACT_FILES:
            if name in saved.contracts:
                (Path(directory) / name).write_text(saved.contracts[name], encoding="utf-8")
        return load_bundle(Path(directory))


def default_state_directory(env: Mapping[str, str], home: Callable[[], Path] = Path.home) -> Path | None:
    """Return systemd's `StateDirectory=`, or the directory for state of the XDG base directory specification.

    None for a user without a home, as the arbitrary user id of a container may be: `home` raises RuntimeError.
    """
    given = env.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    base = env.get("XDG_STATE_HOME", "")
    try:
        return (Path(base) if base.startswith("/") else home() / ".local" / "state") / "scribe-proxy"
    except RuntimeError:
        return None


class LastGood:
    """The saved configuration of one routing.yaml, in a directory. No method raises an error."""

    def __init__(self, directory: Path, file: Path) -> None:
        digest = hashlib.sha256(str(file.absolute()).encode()).hexdigest()[:32]
        self.path: Final = directory / f"{digest}.json"
        self._file: Final = str(file.absolute())
        self._failing = False

    def load(self) -> SavedConfig | None:
        """Return the saved configuration; None if none exists or another user could have written it."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_uid != os.geteuid() or status.st_mode & 0o022:
                    logger.error("%s may have been written by another user and is ignored", self.path)
                    return None
                data = json.load(file)
            lists = dict(data.get("lists", {}))
            return SavedConfig(str(data["text"]), dict(data["contracts"]), float(data["at"]), lists)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.error("%s cannot be read: %s", self.path, error)
            return None

    def save(self, content: bytes, contracts: Path) -> None:
        """Save a valid routing.yaml and its contracts, unless they are saved already."""
        try:
            text = content.decode("utf-8-sig")
            files = {name: (contracts / name) for name in CONTRACT_FILES}
            texts = {name: path.read_text(encoding="utf-8") for name, path in files.items() if path.exists()}
            lists = self._lists(text)
            saved = self.load() if self.path.exists() else None
            if saved is None or (saved.text, saved.contracts, saved.lists) != (text, texts, lists):
                data = {"file": self._file, "at": time.time(), "text": text, "contracts": texts, "lists": lists}
                self._write(data)
            self._failing = False
        except (OSError, ValueError) as error:
            if not self._failing:
                logger.warning("%s cannot be written (%s): a restart cannot fall back to it", self.path, error)
            self._failing = True

    def _lists(self, text: str) -> dict[str, str]:
        directory = Path(self._file).parent
        names = [name for name in list_files(text) if (directory / name).is_file()]
        return {name: (directory / name).read_text(encoding="utf-8") for name in names}

    def _write(self, data: Mapping[str, object]) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.stem)  # mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(data, file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
