"""Compare the objects of two arrays by column, since most objects of an array have the same fields. Pure.

A column is compared at once if its values need no rule and no correspondence. The cells that remain are compared by the
walk, in the order in which it comes to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from operator import add, eq
from typing import Any, Final, TypeAlias

from proxy.comparison.bodies import MAX_DEPTH
from proxy.comparison.fields import ITEMS, ValueField
from proxy.comparison.spelling import text_kind
from proxy.comparison.verdicts import Difference, LocatedValue, grade
from proxy.comparison.volatile import SHORTEST, VOLATILE, kind_of_all
from proxy.types import JSON, DifferenceKind, ValuePath

MAX_ROWS: Final = 64
"""Maximum number of objects that are compared at once, which bounds the memory for their cells."""
MIN_ROWS: Final = 3
"""Minimum number of objects for which columns cost less than one object after the other."""

Texts: TypeAlias = tuple[str, str, str | None, ValueField, str | int, ValuePath]
"""Two texts to compare by role, the kind of all texts of their column if they have one, their field, and the step to
them from a path."""
PathPair: TypeAlias = tuple[ValuePath, ValuePath]
"""The paths to one value in legacy's answer and in native's."""
Cell: TypeAlias = Difference | Texts | Callable[[], None] | None
"""A difference, texts, or a call of the walk for two values; None if there is nothing to compare."""

_Column: TypeAlias = Sequence[Any]
_Paths: TypeAlias = Sequence[ValuePath]
_Cells: TypeAlias = list[Sequence[Cell]]
_SCALARS: Final[frozenset[type]] = frozenset((str, int, float, bool, type(None)))
_DEEPEST: Final = MAX_DEPTH - 3
"""Length of the paths from which the walk compares each value, since it refuses those that are nested too deeply."""
_create: Final = tuple.__new__


@dataclass(frozen=True, slots=True)
class ColumnComparison:
    """The comparison of rows whose paths are the same on both sides.

    `pair` compares two values: their steps on both sides, both values, their field, and the paths above.
    """

    by_role: bool
    pair: Callable[[str | int, str | int, JSON, JSON, ValueField, PathPair], None]

    def cells(self, legacy: _Column, native: _Column, field: ValueField, paths: _Paths) -> list[Cell] | None:
        """Return the cells row by row; None if the values are not objects, or few."""
        if len(paths) < MIN_ROWS or {*map(type, legacy), *map(type, native)} != {dict} or len(paths[0]) > _DEEPEST:
            return None
        columns = self._objects(legacy, native, field, paths)
        return list(filter(None, chain.from_iterable(zip(*columns, strict=True))))

    def _objects(self, legacy: _Column, native: _Column, field: ValueField, paths: _Paths) -> _Cells:
        """Return the columns of objects at the paths."""
        legacy_rows = list(map(tuple, legacy))
        native_rows = list(map(tuple, native))
        if legacy_rows == native_rows and legacy_rows.count(legacy_rows[0]) == len(legacy_rows):
            return self._members(legacy, native, field, paths)
        rows: dict[tuple[str, ...] | None, list[int]] = {}
        for row, (one, other) in enumerate(zip(legacy_rows, native_rows, strict=True)):
            rows.setdefault(one if one == other else None, []).append(row)
        columns: _Cells = []
        for names, group in rows.items():
            if names is None or len(group) < MIN_ROWS:
                calls = (self._call(legacy[row], native[row], field, paths[row][-1], paths[row][:-1]) for row in group)
                columns.append(_spread(list(calls), group, len(legacy_rows)))
            else:
                parts = [[side[row] for row in group] for side in (legacy, native)]
                below = self._members(parts[0], parts[1], field, [paths[row] for row in group])
                columns += [_spread(column, group, len(legacy_rows)) for column in below]
        return columns

    def _members(self, legacy: _Column, native: _Column, field: ValueField, paths: _Paths) -> _Cells:
        """Return the columns of objects with the same names in the same order."""
        columns: _Cells = []
        legacy_columns, native_columns = (zip(*map(dict.values, side), strict=True) for side in (legacy, native))
        for name, one, other in zip(legacy[0], legacy_columns, native_columns, strict=True):
            kinds = {*map(type, one), *map(type, other)}
            if self.by_role or len(kinds) > 1 or one != other or not kinds <= _SCALARS:
                columns += self._values(one, other, kinds, field[name], name, paths)
        return columns

    def _values(
        self, legacy: _Column, native: _Column, kinds: set[type], field: ValueField, step: str | int, paths: _Paths
    ) -> _Cells:
        """Return the columns of values of these types, one step below the paths."""
        if len(kinds) == 1 and field.is_plain:
            [kind] = kinds
            if kind is str:
                texts = _roles if self.by_role else _literals
                return texts(legacy, native, field, step, paths)
            if kind is dict and len(paths[0]) < _DEEPEST:
                return self._objects(legacy, native, field, _below(paths, step))
            if kind is list:
                if field.key is None and {*map(len, legacy), *map(len, native)} == {1} and len(paths[0]) < _DEEPEST:
                    one, other = ([items[0] for items in side] for side in (legacy, native))
                    kinds = {*map(type, one), *map(type, other)}
                    return self._values(one, other, kinds, field[ITEMS], 0, _below(paths, step))
            elif kind in _SCALARS and legacy == native:
                return []
        rows = zip(legacy, native, paths, strict=True)
        return [[self._call(one, other, field, step, path) for one, other, path in rows]]

    def _call(self, legacy: JSON, native: JSON, field: ValueField, step: str | int, above: ValuePath) -> Cell:
        """Return the cell of values that are compared on their own."""
        if legacy is native and not self.by_role:
            return None
        return partial(self.pair, step, step, legacy, native, field, (above, above))


def split_ids(cells: Sequence[Cell]) -> tuple[list[Texts], list[Cell]]:
    """Return the texts of columns of ids, and the other cells."""
    ids: list[Texts] = []
    others: list[Cell] = []
    for cell in cells:
        if isinstance(cell, tuple) and not isinstance(cell, Difference) and cell[2] == "id":
            ids.append(cell)
        else:
            others.append(cell)
    return ids, others


def _roles(legacy: _Column, native: _Column, field: ValueField, step: str | int, paths: _Paths) -> _Cells:
    """Return the column of texts to compare by role; none if they are equal, and without ids, dates and tokens."""
    if legacy == native and not any(len(text) >= SHORTEST and VOLATILE.search(text) for text in {*legacy}):
        return []
    kind = kind_of_all((*legacy, *native))
    return [list(zip(legacy, native, repeat(kind), repeat(field), repeat(step), paths, strict=False))]


def _literals(legacy: _Column, native: _Column, field: ValueField, step: str | int, paths: _Paths) -> _Cells:
    """Return the column of the differences of texts as they are spelled; none if they are equal."""
    if legacy == native:
        return []
    if not any(map(eq, legacy, native)) and kind_of_all((*legacy, *native)) is not None:
        return [list(_differences("value", legacy, native, field, _below(paths, step)))]
    column: list[Cell] = []
    for one, other, path in zip(legacy, native, paths, strict=True):
        if one == other:
            column.append(None)
        else:
            column += _differences(text_kind(one, other), (one,), (other,), field, ((*path, step),))
    return [column]


def _differences(
    kind: DifferenceKind, legacy: _Column, native: _Column, field: ValueField, paths: _Paths
) -> Iterable[Difference]:
    """Return the differences of values of one field; `map` creates them in a third of the time that a loop takes."""
    legacy_values, native_values = (
        map(_create, repeat(LocatedValue), zip(paths, side, strict=True)) for side in (legacy, native)
    )
    general = field.shape
    rows = zip(repeat(general), repeat(kind), repeat(grade(kind, general)), legacy_values, native_values, strict=False)
    return map(_create, repeat(Difference), rows)


def _below(paths: _Paths, step: str | int) -> _Paths:
    return list(map(add, paths, repeat((step,))))


def _spread(cells: Sequence[Cell], rows: Sequence[int], count: int) -> list[Cell]:
    """Return the cells of some of `count` rows, with None in the others."""
    column: list[Cell] = [None] * count
    for row, cell in zip(rows, cells, strict=True):
        column[row] = cell
    return column
