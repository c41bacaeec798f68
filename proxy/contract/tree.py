"""YAML files as one tree of values: every value knows its file and line, and every `$ref` is replaced by its target.

References are relative paths and JSON pointers (`users.yaml#/~1users~1login`), as OpenAPI has them. A schema that
holds itself is refused: everything here is expanded, so that a validator and a comparison need to resolve nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from proxy.config import yaml_nodes
from proxy.config.problems import ConfigError, Problem
from proxy.contract.faults import ContractError, Fault
from proxy.types import JSON

MAX_BYTES: Final = 4 << 20
MAX_DEPTH: Final = 100
MAX_VALUES: Final = 500_000
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,2})?", re.ASCII)
_WORDS: Final[Mapping[str, bool]] = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tree:
    """A value, the file and line it stands on (of a mapping's value: its key's line), and the trees below it."""

    value: JSON
    file: Path
    line: int
    below: Mapping[str | int, Tree] = field(default_factory=dict)
    size: int = 1

    def at(self, *steps: str | int) -> Tree:
        """The deepest tree that the steps lead to: where a fault is told that something below it lacks."""
        tree = self
        for step in steps:
            found = tree.below.get(step)
            if found is None:
                return tree
            tree = found
        return tree

    def get(self, name: str) -> Tree | None:
        """The entry of a mapping."""
        return self.below.get(name)

    def entries(self) -> Iterator[tuple[str, Tree]]:
        """A mapping's entries in file order; none where it is no mapping."""
        return ((str(name), tree) for name, tree in self.below.items() if isinstance(self.value, dict))

    def fault(self, message: str, where: str = "") -> Fault:
        """Something wrong here."""
        return Fault(self.file, Problem(self.line, where, message))


def read_tree(path: Path) -> Tree:
    """The file with everything that it refers to. Raises ContractError."""
    reader = _Reader()
    try:
        tree = reader.expand(_Target(path, reader.root(path), 1), ())
    except RecursionError:
        raise ContractError((Fault(path, Problem(0, "", "nested too deep")),)) from None
    if reader.faults:
        raise ContractError(tuple(reader.faults))
    return tree


@dataclass(frozen=True, slots=True)
class _Target:
    file: Path
    node: yaml_nodes.Node
    line: int


class _Reader:
    """Reads each file once, and expands each node once."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._roots: dict[Path, yaml_nodes.Node] = {}
        self._expanded: dict[int, Tree] = {}

    def root(self, path: Path) -> yaml_nodes.Node:
        """A file's root; raises ContractError where it cannot be read at all."""
        known = path.resolve()
        if known not in self._roots:
            try:
                self._roots[known] = self._parse(path)
            except ConfigError as error:
                raise ContractError(tuple(Fault(path, problem) for problem in error.problems)) from None
        return self._roots[known]

    def _parse(self, path: Path) -> yaml_nodes.Node:
        node, duplicates = yaml_nodes.read(_text(path), MAX_DEPTH)
        self.faults += [Fault(path, problem) for problem in duplicates]
        if node is None:
            raise ConfigError((Problem(0, "", "the file is empty"),))
        return node

    def expand(self, target: _Target, inside: tuple[int, ...]) -> Tree:
        """The tree of a node; `inside` are the nodes that hold it, or refer to it."""
        identity = id(target.node)
        if identity in self._expanded:
            known = self._expanded[identity]
            return Tree(known.value, known.file, target.line, known.below, known.size)
        if identity in inside:
            self._fault(target, "refers to itself")
            return Tree({}, target.file, target.line)
        tree = self._build(target, (*inside, identity))
        if tree.size > MAX_VALUES:
            raise ContractError((tree.fault(f"expands to more than {MAX_VALUES:,} values"),))
        self._expanded[identity] = tree
        return tree

    def _build(self, target: _Target, inside: tuple[int, ...]) -> Tree:
        file, node, line = target.file, target.node, target.line
        if isinstance(node, yaml_nodes.Scalar):
            return Tree(_typed(node), file, line)
        if isinstance(node, yaml_nodes.Sequence):
            items = [self.expand(_Target(file, item, item.line), inside) for item in node.items]
            return Tree([item.value for item in items], file, line, dict(enumerate(items)), 1 + _sizes(items))
        if "$ref" in node.entries:
            return self._follow(target, node, inside)
        entries = {name: self.expand(_Target(file, value, at), inside) for name, (at, value) in node.entries.items()}
        values = {name: tree.value for name, tree in entries.items()}
        below: dict[str | int, Tree] = dict(entries.items())
        return Tree(values, file, line, below, 1 + _sizes(list(entries.values())))

    def _follow(self, target: _Target, node: yaml_nodes.Mapping, inside: tuple[int, ...]) -> Tree:
        """What a reference stands for. Only `summary` and `description` may stand beside `$ref`, and change nothing."""
        line, reference = node.entries["$ref"]
        here = _Target(target.file, reference, line)
        beside = [name for name in node.entries if name not in ("$ref", "summary", "description")]
        if beside:
            self._fault(here, f"`{beside[0]}` beside $ref has no effect")
        found = self._find(here)
        return self.expand(found, inside) if found else Tree({}, target.file, line)

    def _find(self, here: _Target) -> _Target | None:
        reference = here.node.text if isinstance(here.node, yaml_nodes.Scalar) else None
        if not reference:
            self._fault(here, "$ref must be text")
            return None
        url = urlsplit(reference)
        if url.scheme or url.netloc or url.query:
            self._fault(here, f"{reference}: only files beside this one can be referred to")
            return None
        file = here.file.parent / unquote(url.path) if url.path else here.file
        try:
            return self._point(here, _Target(file, self.root(file), 1), unquote(url.fragment))
        except ContractError as error:
            self.faults += error.faults
            self._fault(here, f"{reference}: the file cannot be read")
            return None

    def _point(self, here: _Target, target: _Target, pointer: str) -> _Target | None:
        for step in pointer.split("/")[1:]:
            found = _step(target, step.replace("~1", "/").replace("~0", "~"))
            if found is None:
                self._fault(here, f"{target.file.name} has nothing at #{pointer}")
                return None
            target = found
        return target

    def _fault(self, target: _Target, message: str) -> None:
        self.faults.append(Fault(target.file, Problem(target.line, "", message)))


def _step(target: _Target, name: str) -> _Target | None:
    if isinstance(target.node, yaml_nodes.Mapping) and name in target.node.entries:
        line, node = target.node.entries[name]
        return _Target(target.file, node, line)
    if isinstance(target.node, yaml_nodes.Sequence) and name.isdecimal() and int(name) < len(target.node.items):
        item = target.node.items[int(name)]
        return _Target(target.file, item, item.line)
    return None


def _typed(scalar: yaml_nodes.Scalar) -> JSON:
    """YAML 1.2's core schema: what stands in quotes is text, and so are dates and `no`."""
    text = scalar.text
    if text is None or not scalar.plain:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _sizes(trees: list[Tree]) -> int:
    return sum(tree.size for tree in trees)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError((Problem(0, "", f"cannot be read: {error.strerror}"),)) from None
    if len(data) > MAX_BYTES:
        raise ConfigError((Problem(0, "", "larger than 4 MiB; this is no contract"),))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError((Problem(line, "", f"not text: byte 0x{data[error.start]:02x} is not UTF-8"),)) from None
