"""Read YAML files as one tree of values with file and line, in which targets replace every `$ref`.

References are relative paths with JSON pointers (`users.yaml#/~1users~1login`), as in OpenAPI. A schema that contains
itself is refused, so that validators and comparisons have nothing to resolve.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote, urlsplit

from proxy.config import yaml_nodes
from proxy.config.problems import ConfigError, Problem
from proxy.contract.faults import ContractError, Fault
from proxy.contract.yaml_values import scalar_value
from proxy.types import JSON

MAX_BYTES: Final = 4 << 20
MAX_DEPTH: Final = 100
MAX_VALUES: Final = 500_000
_NO_TREES: Final[Mapping[str | int, Tree]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Tree:
    """A value, its file and line (for a mapping's value the line of its key), and the trees below it."""

    value: JSON
    file: Path
    line: int
    below: Mapping[str | int, Tree] = field(default_factory=dict)
    size: int = 1

    def at(self, *steps: str | int) -> Tree:
        """Return the deepest existing tree on the path, at which a missing value below it is reported."""
        tree = self
        for step in steps:
            target = tree.below.get(step)
            if target is None:
                return tree
            tree = target
        return tree

    def get(self, name: str) -> Tree | None:
        """Return the entry of a mapping."""
        return self.below.get(name)

    def entries(self) -> Iterator[tuple[str, Tree]]:
        """Yield a mapping's entries in file order; none for other values."""
        return ((str(name), tree) for name, tree in self.below.items() if isinstance(self.value, dict))

    def fault(self, message: str, where: str = "") -> Fault:
        """Return a fault at this line."""
        return Fault(self.file, Problem(self.line, where, message))


def read_tree(path: Path) -> Tree:
    """Read a file and everything that it refers to. Raises ContractError."""
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
        self._resolved: dict[Path, Path] = {}
        self._targets: dict[tuple[Path, str], _Target] = {}
        self._expanded: dict[int, Tree] = {}

    def root(self, path: Path) -> yaml_nodes.Node:
        """Return a file's root. Raises ContractError if the file cannot be read."""
        known = self._resolved.get(path)
        if known is None:
            known = self._resolved[path] = path.resolve()
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
        """Return the tree of a node; `inside` are the ids of the nodes that contain it or refer to it."""
        file, node, line = target.file, target.node, target.line
        if isinstance(node, yaml_nodes.Scalar):
            return Tree(scalar_value(node), file, line, _NO_TREES)
        identity = id(node)
        if identity in self._expanded:
            known = self._expanded[identity]
            return Tree(known.value, known.file, line, known.below, known.size)
        if identity in inside:
            self._fault(target, "refers to itself")
            return Tree({}, file, line)
        tree = self._build(target, node, (*inside, identity))
        if tree.size > MAX_VALUES:
            raise ContractError((tree.fault(f"expands to more than {MAX_VALUES:,} values"),))
        self._expanded[identity] = tree
        return tree

    def _build(self, target: _Target, node: yaml_nodes.Sequence | yaml_nodes.Mapping, inside: tuple[int, ...]) -> Tree:
        file, line = target.file, target.line
        below: dict[str | int, Tree] = {}
        if isinstance(node, yaml_nodes.Sequence):
            for index, item in enumerate(node.items):
                below[index] = self._below(file, item, item.line, inside)
            return Tree([tree.value for tree in below.values()], file, line, below, 1 + _sizes(below))
        if "$ref" in node.entries:
            return self._follow(target, node, inside)
        for name, (at, value) in node.entries.items():
            below[name] = self._below(file, value, at, inside)
        values = {str(name): tree.value for name, tree in below.items()}
        return Tree(values, file, line, below, 1 + _sizes(below))

    def _below(self, file: Path, node: yaml_nodes.Node, line: int, inside: tuple[int, ...]) -> Tree:
        if isinstance(node, yaml_nodes.Scalar):
            return Tree(scalar_value(node), file, line, _NO_TREES)
        return self.expand(_Target(file, node, line), inside)

    def _follow(self, target: _Target, node: yaml_nodes.Mapping, inside: tuple[int, ...]) -> Tree:
        """Return the target of a reference.

        Only `summary` and `description` may be beside `$ref`; they have no effect.
        """
        line, reference = node.entries["$ref"]
        source = _Target(target.file, reference, line)
        siblings = [name for name in node.entries if name not in ("$ref", "summary", "description")]
        if siblings:
            self._fault(source, f"`{siblings[0]}` beside $ref has no effect")
        resolved = self._find(source)
        return self.expand(resolved, inside) if resolved else Tree({}, target.file, line)

    def _find(self, source: _Target) -> _Target | None:
        reference = source.node.text if isinstance(source.node, yaml_nodes.Scalar) else None
        if not reference:
            self._fault(source, "$ref must be text")
            return None
        target = self._targets.get((source.file, reference)) or self._resolve(source, reference)
        if target is not None:
            self._targets[source.file, reference] = target
        return target

    def _resolve(self, source: _Target, reference: str) -> _Target | None:
        url = urlsplit(reference)
        if url.scheme or url.netloc or url.query:
            self._fault(source, f"{reference}: only files beside this one can be referred to")
            return None
        file = source.file.parent / unquote(url.path) if url.path else source.file
        try:
            return self._point(source, _Target(file, self.root(file), 1), unquote(url.fragment))
        except ContractError as error:
            self.faults += error.faults
            self._fault(source, f"{reference}: the file cannot be read")
            return None

    def _point(self, source: _Target, target: _Target, pointer: str) -> _Target | None:
        for step in pointer.split("/")[1:]:
            below = _step(target, step.replace("~1", "/").replace("~0", "~"))
            if below is None:
                self._fault(source, f"{target.file.name} has nothing at #{pointer}")
                return None
            target = below
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


def _sizes(trees: Mapping[str | int, Tree]) -> int:
    return sum([tree.size for tree in trees.values()])


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError((Problem(0, "", f"cannot be read: {error.strerror}"),)) from None
    if len(data) > MAX_BYTES:
        raise ConfigError((Problem(0, "", "larger than 4 MiB, too large for a contract"),))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError((Problem(line, "", f"not text: byte 0x{data[error.start]:02x} is not UTF-8"),)) from None
