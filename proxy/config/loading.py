"""Load routing.yaml from disk into a Config, or raise the list of its problems."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Final

from proxy.config import yaml_nodes
from proxy.config.models import Config
from proxy.config.problems import ConfigError, Problem
from proxy.config.reading import ConfigReader
from proxy.config.targets import ListReader

MAX_BYTES: Final = 1 << 20


def load(path: Path, env: Mapping[str, str], *, needed: Container[str] | None = None) -> Config:
    """Load a file. Raises ConfigError, also if it cannot be opened, is too large, or is not text.

    `needed`: the sections whose variables must be set, by default all; other sections have other values then.
    """
    return parse(decode(read(path), str(path)), env, str(path), lists=list_reader(path.parent), needed=needed)


def list_reader(directory: Path) -> ListReader:
    """Return a reader of the value lists in a directory, each at most MAX_BYTES of UTF-8."""

    def read_list(name: str) -> str:
        data = (directory / name).read_bytes()
        if len(data) > MAX_BYTES:
            raise ValueError(f"{name} is larger than 1 MiB")
        return data.decode("utf-8-sig")

    return read_list


def read(path: Path) -> bytes:
    """Return a file's bytes, at most MAX_BYTES + 1. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError((Problem(0, "", f"cannot be read: {error.strerror}"),), str(path)) from None


def decode(data: bytes, source: str) -> str:
    """Decode a file, UTF-8 of at most MAX_BYTES. Raises ConfigError."""
    if len(data) > MAX_BYTES:
        raise ConfigError((Problem(0, "", "larger than 1 MiB, which is too large for a routing.yaml"),), source)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf_16 = "; it seems to be UTF-16: save it as UTF-8" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else ""
        message = f"not text: byte 0x{data[error.start]:02x} is not UTF-8{utf_16}"
        raise ConfigError((_problem_at(data[: error.start].decode("utf-8-sig"), message),), source) from None
    at = next((at for at, sign in enumerate(text) if sign < " " and sign not in "\t\n\r"), None)
    if at is not None:
        message = f"not text: it holds the control character 0x{ord(text[at]):02x}"
        raise ConfigError((_problem_at(text[:at], message),), source)
    return text


def _problem_at(before: str, message: str) -> Problem:
    """Return a problem at the character after a text."""
    return Problem(before.count("\n") + 1, "", message, column=len(before) - before.rfind("\n"))


def parse(
    text: str,
    env: Mapping[str, str],
    source: str = "routing.yaml",
    *,
    lists: ListReader | None = None,
    needed: Container[str] | None = None,
) -> Config:
    """Parse text. `source` is its name in messages; `lists` reads the value lists that it names; `needed`: see `load`.

    Raises ConfigError with every problem at once.
    """
    try:
        root, duplicates = yaml_nodes.read(text)
        if root is None or (isinstance(root, yaml_nodes.Scalar) and root.text is None):
            raise ConfigError((Problem(0, "", "the file is empty; it needs `legacy: {url: …}` at least"),))
        if not isinstance(root, yaml_nodes.Mapping):
            kind = "a list" if isinstance(root, yaml_nodes.Sequence) else "a piece of text"
            raise ConfigError((Problem(root.line, "", f"must be a mapping (`key: value`), but is {kind}"),))
        return ConfigReader(root, env, lists, needed).config(duplicates)
    except ConfigError as error:
        raise ConfigError(error.problems, source) from None
