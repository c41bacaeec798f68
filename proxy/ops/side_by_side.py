"""Align two redacted answers field by field in the rows of one table, with differences marked. Pure.

Both trees are walked together: legacy's fields in their order, then those that only native has. A row is one path;
where the backends have the same value at different paths (an order without meaning), each is marked at its own path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from proxy.comparison.correspondence import Kind
from proxy.reports.models import Sample, StoredAnswer, StoredDifference, Tree
from proxy.types import JSON

Mark = Literal["different", "declared", "noise", ""]
NEAR: Final = 1
"""Rows shown before and after each marked one, where only differences are shown."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One backend's value at a path, None where it has none. `kind` is the kind of difference."""

    value: Tree | None
    mark: Mark = ""
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class SideBySideRow:
    """A path: `name` is its last step, `depth` its nesting. `skipped`: the rows omitted before this one."""

    name: str
    depth: int
    legacy: Cell
    native: Cell
    skipped: int = 0

    @property
    def marked(self) -> bool:
        """True where the backends differ at this path."""
        return bool(self.legacy.mark or self.native.mark)


class Marks:
    """The differences of a sample by path, of each backend."""

    def __init__(self, differences: Iterable[StoredDifference]) -> None:
        self._legacy: dict[str, StoredDifference] = {}
        self._native: dict[str, StoredDifference] = {}
        for one in differences:
            if one.legacy is not None:
                self._legacy[one.legacy.path] = one
            if one.native is not None:
                self._native[one.native.path] = one

    def row(self, path: str, name: str, depth: int, legacy: Tree | None, native: Tree | None) -> SideBySideRow:
        """Return the row of a path."""
        return SideBySideRow(name, depth, _cell(legacy, self._legacy.get(path)), _cell(native, self._native.get(path)))


def rows(sample: Sample) -> tuple[SideBySideRow, ...]:
    """Return the rows of status, headers and body of both answers."""
    marks = Marks(sample.differences)
    return tuple(_rows(sample.legacy, sample.native, marks))


def only_near(every: Sequence[SideBySideRow]) -> tuple[SideBySideRow, ...]:
    """Return the marked rows with their neighbours and parents, each with the number of rows omitted before it."""
    marked = [at for at, row in enumerate(every) if row.marked]
    shown_at = {near for at in marked for near in (*range(at - NEAR, at + NEAR + 1), *_parents(every, at))}
    result, skipped = list[SideBySideRow](), 0
    for at, row in enumerate(every):
        if at in shown_at:
            result.append(SideBySideRow(row.name, row.depth, row.legacy, row.native, skipped))
        skipped = 0 if at in shown_at else skipped + 1
    return tuple(result)


def _parents(every: Sequence[SideBySideRow], at: int) -> Iterator[int]:
    """Yield the parents of a row, innermost first."""
    depth = every[at].depth
    for above in range(at - 1, -1, -1):
        if every[above].depth < depth:
            depth = every[above].depth
            yield above


def _rows(legacy: StoredAnswer, native: StoredAnswer, marks: Marks) -> Iterator[SideBySideRow]:
    yield marks.row("outcome", "outcome", 0, _shown(legacy.outcome), _shown(native.outcome))
    yield marks.row("status", "status", 0, _shown(legacy.status), _shown(native.status))
    of_legacy, of_native = dict(legacy.headers), dict(native.headers)
    for name in [*of_legacy, *(name for name in of_native if name not in of_legacy)]:
        yield marks.row(f"header.{name}", name, 0, of_legacy.get(name), of_native.get(name))
    yield from _walk(("body",), legacy.body.content, native.body.content, marks)


def _walk(path: tuple[str, ...], legacy: Tree | None, native: Tree | None, marks: Marks) -> Iterator[SideBySideRow]:
    if legacy is None and native is None:
        return
    yield marks.row(".".join(path), path[-1], len(path) - 1, legacy, native)
    of_legacy, of_native = dict(_children(legacy)), dict(_children(native))
    for step in [*of_legacy, *(step for step in of_native if step not in of_legacy)]:
        yield from _walk((*path, step), of_legacy.get(step), of_native.get(step), marks)


def _children(tree: Tree | None) -> Iterator[tuple[str, Tree]]:
    """Yield the children of a value, each with its step."""
    fields, items = (tree.get("fields"), tree.get("items")) if tree is not None else (None, None)
    for entry in fields if isinstance(fields, list) else ():
        name, value = entry if isinstance(entry, list) else ("", None)
        if isinstance(value, dict):
            yield str(name), value
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield str(index), item


def _cell(value: Tree | None, difference: StoredDifference | None) -> Cell:
    if difference is None:
        return Cell(value)
    mark: Mark = "declared" if difference.declared else "noise" if difference.noise else "different"
    return Cell(value, mark, difference.kind)


def _shown(value: JSON) -> Mapping[str, JSON]:
    return {"type": "string", "value": str(value)}
