"""Two redacted answers as the rows of one table, with the differences marked. Pure.

A row is one entry of both trees. Fields are paired by name, or by content if only the name differs. Items of arrays
are paired by content, so that a row shows where an item has moved to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from proxy.reports.alignment import Pair, pair_fields, pair_items
from proxy.reports.models import Sample, StoredAnswer, StoredDifference, Tree
from proxy.types import JSON, DifferenceKind

Mark = Literal["different", "declared", "noise", ""]
Relation = Literal["moved", "renamed", ""]
CONTEXT_ROWS: Final = 1
"""Number of rows around a marked one that remain if only differences are shown."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The value of one backend; None if it has none. `kind`: of the difference."""

    value: Tree | None
    mark: Mark = ""
    kind: DifferenceKind | None = None


@dataclass(frozen=True, slots=True)
class SideBySideRow:
    """An entry of both answers: `name` is the last step of its path, `depth` the number of steps above it.

    `other_name` is native's name or index if it differs: the field may be `renamed`, the item has `moved`.
    `reordered`: the array that it is in differs in its order. `skipped`: rows left out before this one.
    """

    name: str
    depth: int
    legacy: Cell
    native: Cell
    skipped: int = 0
    other_name: str | None = None
    relation: Relation = ""
    reordered: bool = False

    @property
    def marked(self) -> bool:
        """Return whether there is a difference."""
        return bool(self.legacy.mark or self.native.mark or (self.reordered and self.relation == "moved"))


class Marks:
    """The differences of a sample by path and backend."""

    def __init__(self, differences: Iterable[StoredDifference]) -> None:
        self._legacy: dict[str, StoredDifference] = {}
        self._native: dict[str, StoredDifference] = {}
        self._both: list[tuple[list[str], list[str]]] = []
        for one in differences:
            if one.legacy is not None:
                self._legacy[one.legacy.path] = one
            if one.native is not None:
                self._native[one.native.path] = one
            if one.legacy is not None and one.native is not None:
                self._both.append((one.legacy.path.split("."), one.native.path.split(".")))

    def cells(self, paths: tuple[str, str], legacy: Tree | None, native: Tree | None) -> tuple[Cell, Cell]:
        """Return the cells of an entry by its path on each side."""
        return _cell(legacy, self._legacy.get(paths[0])), _cell(native, self._native.get(paths[1]))

    def is_reordered(self, path: str) -> bool:
        """Return whether the array at a path of legacy's differs in its order."""
        difference = self._legacy.get(path)
        return difference is not None and difference.kind == "order"

    def index_hints(self, paths: tuple[str, str]) -> dict[int, int]:
        """Return the pairs of array items that were compared with each other, according to their differences."""
        one, other = paths[0].split("."), paths[1].split(".")
        hints: dict[int, int] = {}
        for legacy, native in self._both:
            if legacy[: len(one)] == one and native[: len(other)] == other:
                below = legacy[len(one) : len(one) + 1], native[len(other) : len(other) + 1]
                if all(step and step[0].isdecimal() for step in below):
                    hints.setdefault(int(below[0][0]), int(below[1][0]))
        return hints


def rows(sample: Sample) -> tuple[SideBySideRow, ...]:
    """Return the rows of status, headers and body of both answers, or of a WebSocket's messages."""
    return tuple(_rows(sample.legacy, sample.native, Marks(sample.differences)))


def only_near(all_rows: Sequence[SideBySideRow]) -> tuple[SideBySideRow, ...]:
    """Return the marked rows with their neighbours and parents; each has the number of omitted rows above it."""
    marked = [index for index, row in enumerate(all_rows) if row.marked]
    retained = {
        near for at in marked for near in (*range(at - CONTEXT_ROWS, at + CONTEXT_ROWS + 1), *_parents(all_rows, at))
    }
    result, skipped = list[SideBySideRow](), 0
    for index, row in enumerate(all_rows):
        if index in retained:
            result.append(replace(row, skipped=skipped))
        skipped = 0 if index in retained else skipped + 1
    return tuple(result)


def _parents(all_rows: Sequence[SideBySideRow], index: int) -> Iterator[int]:
    """Yield the indexes of the rows that contain a row, the innermost first."""
    depth = all_rows[index].depth
    for above in range(index - 1, -1, -1):
        if all_rows[above].depth < depth:
            depth = all_rows[above].depth
            yield above


def _rows(legacy: StoredAnswer, native: StoredAnswer, marks: Marks) -> Iterator[SideBySideRow]:
    for name in ("outcome", "status"):
        values = (_shown(getattr(legacy, name)), _shown(getattr(native, name)))
        yield SideBySideRow(name, 0, *marks.cells((name, name), *values))
    headers: list[Tree] = [{"fields": [[name, dict(value)] for name, value in one.headers]} for one in (legacy, native)]
    for pair in pair_fields(*headers):
        yield from _walk((("header",), ("header",)), pair, marks, base=-1)
    if legacy.body.content is not None or native.body.content is not None:
        root = "frames" if "frames" in (legacy.body.form, native.body.form) else "body"
        yield from _walk(((), ()), Pair(root, root, legacy.body.content, native.body.content), marks)


def _walk(
    above: tuple[tuple[str, ...], tuple[str, ...]], pair: Pair, marks: Marks, *, base: int = 0, reordered: bool = False
) -> Iterator[SideBySideRow]:
    """Yield the row of a pair and of everything below it. `above` are the paths that lead to it on each side."""
    steps = (pair.legacy_step or pair.native_step or "", pair.native_step or pair.legacy_step or "")
    paths = (*above[0], steps[0]), (*above[1], steps[1])
    dotted = ".".join(paths[0]), ".".join(paths[1])
    cells = marks.cells(dotted, pair.legacy, pair.native)
    row = SideBySideRow(steps[0], len(above[0]) + base, *cells, reordered=reordered)
    yield _related(row, pair) if pair.differs_in_step else row
    in_order = not marks.is_reordered(dotted[0])
    for below in pair_fields(pair.legacy, pair.native):
        yield from _walk(paths, below, marks, base=base)
    for below in pair_items(pair.legacy, pair.native, marks.index_hints(dotted)):
        yield from _walk(paths, below, marks, base=base, reordered=not in_order)


def _related(row: SideBySideRow, pair: Pair) -> SideBySideRow:
    moved = (pair.legacy_step or "").isdecimal() and (pair.native_step or "").isdecimal()
    return replace(row, other_name=pair.native_step, relation="moved" if moved else "renamed")


def _cell(value: Tree | None, difference: StoredDifference | None) -> Cell:
    if difference is None:
        return Cell(value)
    mark: Mark = "declared" if difference.declared else "noise" if difference.noise else "different"
    return Cell(value, mark, difference.kind)


def _shown(value: JSON) -> Mapping[str, JSON]:
    return {"type": "string", "value": str(value)}
