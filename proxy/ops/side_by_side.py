"""Two redacted answers as the rows of one table, field by field, with what differs marked. Pure.

Both trees are walked at once: legacy's fields in their order, those that native alone has after them. A row stands for
one place; where the sides put the same thing at different places (an order that says nothing), each is marked where it
stands on its own side.
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
"""How many rows are kept on both sides of one that is marked, where only differences are shown."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands at a place on one side; None where nothing does. `kind` says how it differs."""

    value: Tree | None
    mark: Mark = ""
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class SideBySideRow:
    """A place: `name` is its last step, `depth` how far in it stands. `skipped`: rows left out before this one."""

    name: str
    depth: int
    legacy: Cell
    native: Cell
    skipped: int = 0

    @property
    def marked(self) -> bool:
        """Whether a difference stands here."""
        return bool(self.legacy.mark or self.native.mark)


class Marks:
    """The differences of a sample by the places they stand at, on each side."""

    def __init__(self, differences: Iterable[StoredDifference]) -> None:
        self._legacy: dict[str, StoredDifference] = {}
        self._native: dict[str, StoredDifference] = {}
        for one in differences:
            if one.legacy is not None:
                self._legacy[one.legacy.path] = one
            if one.native is not None:
                self._native[one.native.path] = one

    def row(self, place: str, name: str, depth: int, legacy: Tree | None, native: Tree | None) -> SideBySideRow:
        """The row of a place."""
        return SideBySideRow(
            name, depth, _cell(legacy, self._legacy.get(place)), _cell(native, self._native.get(place))
        )


def rows(sample: Sample) -> tuple[SideBySideRow, ...]:
    """Status, headers and body of both answers."""
    marks = Marks(sample.differences)
    return tuple(_rows(sample.legacy, sample.native, marks))


def only_near(found: Sequence[SideBySideRow]) -> tuple[SideBySideRow, ...]:
    """The rows that are marked, with their neighbours and what they stand in; each says how many are left out above."""
    marked = [at for at, row in enumerate(found) if row.marked]
    kept = {near for at in marked for near in (*range(at - NEAR, at + NEAR + 1), *_above(found, at))}
    result, skipped = list[SideBySideRow](), 0
    for at, row in enumerate(found):
        if at in kept:
            result.append(SideBySideRow(row.name, row.depth, row.legacy, row.native, skipped))
        skipped = 0 if at in kept else skipped + 1
    return tuple(result)


def _above(found: Sequence[SideBySideRow], at: int) -> Iterator[int]:
    """The rows of what a row stands in, the innermost first."""
    depth = found[at].depth
    for above in range(at - 1, -1, -1):
        if found[above].depth < depth:
            depth = found[above].depth
            yield above


def _rows(legacy: StoredAnswer, native: StoredAnswer, marks: Marks) -> Iterator[SideBySideRow]:
    yield marks.row("outcome", "outcome", 0, _shown(legacy.outcome), _shown(native.outcome))
    yield marks.row("status", "status", 0, _shown(legacy.status), _shown(native.status))
    here, there = dict(legacy.headers), dict(native.headers)
    for name in [*here, *(name for name in there if name not in here)]:
        yield marks.row(f"header.{name}", name, 0, here.get(name), there.get(name))
    yield from _walk(("body",), legacy.body.content, native.body.content, marks)


def _walk(place: tuple[str, ...], legacy: Tree | None, native: Tree | None, marks: Marks) -> Iterator[SideBySideRow]:
    if legacy is None and native is None:
        return
    yield marks.row(".".join(place), place[-1], len(place) - 1, legacy, native)
    here, there = dict(_below(legacy)), dict(_below(native))
    for step in [*here, *(step for step in there if step not in here)]:
        yield from _walk((*place, step), here.get(step), there.get(step), marks)


def _below(tree: Tree | None) -> Iterator[tuple[str, Tree]]:
    """What stands below a place, by the step that leads there."""
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
