"""Edit a contract's files in place; comments, order, quotes and other parts stay unchanged."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import MutableMapping, MutableSequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import SingleQuotedScalarString

from proxy.config.problems import Problem
from proxy.contract.faults import ContractError, Fault
from proxy.types import JSON

Node = MutableMapping[str, Any]
_WIDTH: Final = 4096  # long lines are not wrapped
_SHORT: Final = 80  # maximum characters of a mapping or list on one line
_AMBIGUOUS: Final = frozenset(("yes", "no", "on", "off", "y", "n"))  # booleans to readers of YAML 1.1


@dataclass(frozen=True, slots=True)
class NodeSlot:
    """A mapping in one of the files; references below it are followed."""

    files: Files
    file: Path
    node: Node

    def __contains__(self, name: str) -> bool:
        return name in self.node

    def get(self, name: str) -> NodeSlot | None:
        """Return the mapping of a name, or the one that it refers to; None if there is none."""
        below = self.node.get(name)
        return self.files.follow(replace(self, node=below)) if isinstance(below, MutableMapping) else None

    def make(self, name: str) -> NodeSlot:
        """Return the mapping of a name; add an empty one if there is none."""
        mapping = self.get(name)
        if mapping is None:
            self.put(name, {})
            mapping = replace(self, node=self.node[name])
        return mapping

    def items(self, name: str) -> list[NodeSlot]:
        """Return the mappings in the list of a name."""
        listed = self.node.get(name)
        some = listed if isinstance(listed, MutableSequence) else []
        return [self.files.follow(replace(self, node=one)) for one in some if isinstance(one, MutableMapping)]

    def put(self, name: str, value: JSON) -> None:
        """Set one entry."""
        fits = not isinstance(value, dict | list) or (isinstance(value, list) and _is_short(value, []))
        if not fits and isinstance(self.node, CommentedMap):
            self.node.fa.set_block_style()
        self.node[_text(name)] = written(value)

    def refer(self, file: Path, pointer: str) -> str:
        """Return the reference from this file to a location in `file`, which may be this one."""
        other = "" if file == self.file else os.path.relpath(file, self.file.parent)
        return f"{other}#{pointer}"


class Files:
    """The main file and the files beside it, each read when it is needed, all written together."""

    def __init__(self, main: Path) -> None:
        self.main: Final = main
        self._roots: dict[Path, Node] = {}
        self._before: dict[Path, str] = {}

    def root(self, file: Path | None = None) -> NodeSlot:
        """Return a file's mapping, empty if the file does not exist. Raises ContractError."""
        path = file or self.main
        if path not in self._roots:
            self._roots[path] = _load(path) if path.exists() else CommentedMap()
            self._before[path] = path.read_text(encoding="utf-8") if path.exists() else ""
        return NodeSlot(self, path, self._roots[path])

    def follow(self, slot: NodeSlot) -> NodeSlot:
        """Return the mapping that a reference leads to, or the mapping itself if it is not a reference."""
        for _ in range(100):
            reference = slot.node.get("$ref")
            if not isinstance(reference, str):
                return slot
            file, _, pointer = reference.partition("#")
            target = self.root(Path(os.path.normpath(slot.file.parent / file)) if file else slot.file)
            for step in pointer.split("/")[1:]:
                target = replace(target, node=target.node[step.replace("~1", "/").replace("~0", "~")])
            slot = target
        raise ContractError((Fault(slot.file, Problem(0, "", "refers to itself")),))

    def save(self) -> list[Path]:
        """Write the files that have changed, each atomically, and return them."""
        texts = {path: _dump(root) for path, root in self._roots.items()}
        before = {path: self._before[path] and _dump(_load(path)) for path in texts}
        changed = [path for path, text in texts.items() if text != before[path]]
        for path in changed:
            write_whole(path, texts[path].encode())
        return changed


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file atomically: readers see the old or the new content. Raises OSError, which names the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(name, path)
    except OSError as error:
        os.unlink(name)
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        os.unlink(name)
        raise


def written(value: JSON) -> Any:
    """Return the value as a YAML node: short mappings and lists on one line, ambiguous text quoted."""
    if isinstance(value, dict):
        mapping = CommentedMap({_text(name): written(one) for name, one in value.items()})
        if value and len(value) < 4 and _is_short(list(value.values()), list(value)):
            mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, list):
        sequence = CommentedSeq([written(one) for one in value])
        if _is_short(value, []):
            sequence.fa.set_flow_style()
        return sequence
    return _text(value) if isinstance(value, str) else value


def _is_short(values: list[JSON], names: list[str]) -> bool:
    nested = any(isinstance(value, dict | list) and value for value in values)
    return not nested and sum(len(str(one)) + 2 for one in (*values, *names)) <= _SHORT


def _text(value: str) -> str:
    return SingleQuotedScalarString(value) if value.lower() in _AMBIGUOUS or value.isdecimal() else value


def _yaml() -> YAML:
    yaml = YAML()
    yaml.width = _WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.preserve_quotes = True
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    return yaml


def _load(path: Path) -> Node:
    try:
        mapping = _yaml().load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError, OSError) as error:
        message = f"cannot be edited: {str(error).splitlines()[0]}"
        raise ContractError((Fault(path, Problem(0, "", message)),)) from None
    if not isinstance(mapping, MutableMapping):
        raise ContractError((Fault(path, Problem(1, "", "must be a mapping (`key: value`)")),))
    return mapping


def _dump(root: Node) -> str:
    stream = io.StringIO()
    _yaml().dump(root, stream)
    return stream.getvalue()
