"""Compare two JSON values node by node, by the contract's rules for each node. Pure.

Every node has a strictness: `literal` compares values as spelled, `generated` by role (`correspondence.py`). The
contract's `x-compare` sets it, otherwise the mode of the comparison.
"""

from __future__ import annotations

import marshal
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property
from itertools import compress
from operator import eq
from typing import Final, TypeAlias, cast

from proxy.comparison.arrays import align, in_symmetric_order
from proxy.comparison.bodies import MAX_DEPTH
from proxy.comparison.columns import MAX_ROWS, MIN_ROWS, Cell, ColumnComparison, PathPair, Texts, split_ids
from proxy.comparison.correspondence import Correspondence, TextDifference
from proxy.comparison.fields import ITEMS, Strictness, ValueField, root_field, shape
from proxy.comparison.spelling import is_same_number, is_same_value, text_kind
from proxy.comparison.verdicts import Difference, LocatedValue, Severity, grade
from proxy.comparison.volatile import SHORTEST, mask, match_volatile
from proxy.contract.model import HintsAt
from proxy.types import JSON, DifferenceKind, ValuePath

Names: TypeAlias = Callable[[], Correspondence]
"""Returns the correspondence of this comparison; called only if values are compared by role."""

MAX_DIFFERENCES: Final = 1000
"""Maximum number of differences of one answer."""

_Object: TypeAlias = dict[str, JSON]
_create: Final = tuple.__new__
"""Creates a named tuple in half the time that its class takes, for answers in which hundreds of values differ."""


class TooDeepError(ValueError):
    """Raised for values that are nested too deeply to compare."""


class _TooManyError(Exception):
    """Raised when the walk reaches `MAX_DIFFERENCES`."""


@dataclass(slots=True)
class ValueFindings:
    """The differences of two values.

    `hidden`: fields in which `x-compare: ignore` hid a difference. `lenient`: another rule, or a match by role,
    accepted unequal values. Comparing the spelling of the whole text is then meaningless.
    """

    differences: list[Difference] = dataclass_field(default_factory=list)
    hidden: list[ValuePath] = dataclass_field(default_factory=list)
    lenient: bool = False


def compare_values(
    legacy: JSON,
    native: JSON,
    names: Names | None = None,
    hints: HintsAt | None = None,
    *,
    by_role: bool = False,
    root: ValuePath = ("body",),
) -> ValueFindings:
    """Return every difference of two values; `root` is their path. `names` returns the same object every time.

    Raises TooDeepError, and RecursionError if the stack is nearly full.
    """
    own = Correspondence()
    walk = _ValueWalk(names or (lambda: own), by_role=by_role)
    with suppress(_TooManyError):
        field = root_field(hints, root, "generated" if by_role else "literal")
        walk.values(legacy, native, field, (root, root))
    return walk.findings


class _ValueWalk:
    """One comparison. `paths` lead to two values, and are one object twice if they are equal."""

    def __init__(self, names: Names, *, by_role: bool) -> None:
        self.findings = ValueFindings()
        self._create_names, self._by_role = names, by_role

    @cached_property
    def _names(self) -> Correspondence:
        return self._create_names()

    def values(self, legacy: JSON, native: JSON, field: ValueField, paths: PathPair) -> None:
        if len(paths[0]) > MAX_DEPTH:
            raise TooDeepError
        if field.compare == "ignore":
            if legacy != native:
                self.findings.hidden.append(field.shape)
        elif isinstance(legacy, dict) and isinstance(native, dict):
            self._objects(legacy, native, field, paths)
        elif isinstance(legacy, list) and isinstance(native, list):
            self._arrays(legacy, native, field, paths)
        elif isinstance(legacy, str) and isinstance(native, str):
            self._texts(legacy, native, field, paths)
        elif type(legacy) is not type(native):
            self._add("format" if is_same_number(legacy, native) else "type", legacy, native, field, paths)
        elif legacy != native and not self._are_epochs_of_one_role(legacy, native, field):
            self._add("value", legacy, native, field, paths)

    def _objects(self, legacy: _Object, native: _Object, field: ValueField, paths: PathPair) -> None:
        if list(legacy) != list(native):
            self._other_names(legacy, native, field, paths)
        elif self._by_role:
            self._members_by_role(legacy, native, field, paths)
        else:
            self._members(legacy, native, field, paths)

    def _members(self, legacy: _Object, native: _Object, field: ValueField, paths: PathPair) -> None:
        """Compare the members of two objects with the same names as spelled."""
        is_shallow = len(paths[0]) < MAX_DEPTH
        for name, one, other in zip(legacy, legacy.values(), native.values(), strict=True):
            if one is other:
                continue
            below = field[name]
            if type(one) is str and type(other) is str and below.is_plain:
                if one != other:
                    self._add(text_kind(one, other), one, other, below, _below(paths, name, name))
            elif type(one) is dict and type(other) is dict and below.is_plain and is_shallow:
                self._objects(one, other, below, _below(paths, name, name))
            else:
                self._pair(name, name, one, other, below, paths)

    def _members_by_role(self, legacy: _Object, native: _Object, field: ValueField, paths: PathPair) -> None:
        """Compare the members of two objects with the same names; equal texts may contradict others."""
        is_shallow = len(paths[0]) < MAX_DEPTH
        names = self._names
        agreed, compare_text = names.agreed.get, names.compare_text
        for name, one, other in zip(legacy, legacy.values(), native.values(), strict=True):
            below = field[name]
            if type(one) is not type(other) or not below.is_plain:
                self._pair(name, name, one, other, below, paths)
            elif type(one) is str and type(other) is str:
                if agreed(one) != other and (len(one) >= SHORTEST or one != other):
                    differences = compare_text(one, other, name)
                    if differences:
                        self._record_texts(differences, below, _below(paths, name, name))
            elif type(one) is dict and type(other) is dict and is_shallow:
                self._objects(one, other, below, _below(paths, name, name))
            elif one != other or not is_shallow or type(one) in (dict, list):
                self._pair(name, name, one, other, below, paths)

    def _pair(
        self,
        step: str | int,
        partner: str | int,
        one: JSON,
        other: JSON,
        field: ValueField,
        paths: PathPair,
    ) -> None:
        """Compare two values below `paths`, at these steps; `field` is that of both."""
        if field.has_role:
            names = str(step), str(partner)
            self._record_texts(self._names.compare_text(*names, names[0]), field, _below(paths, *names))
        elif not self._by_role and one == other and _is_identical(one, other):
            return
        self.values(one, other, field, _below(paths, step, partner))

    def _other_names(self, legacy: _Object, native: _Object, field: ValueField, paths: PathPair) -> None:
        """Compare objects with different names, or the same names in another order."""
        partners = {name: name for name in legacy if name in native} | self._renamed(legacy, native)
        matched = set(partners.values())
        in_order = [partners[name] for name in legacy if name in partners] == [one for one in native if one in matched]
        for name in legacy if in_order else sorted(legacy):
            if name in partners:
                self._pair(name, partners[name], legacy[name], native[partners[name]], field[name], paths)
            else:
                self._lone("missing", legacy[name], field[name], (*paths[0], name))
        for name, other in native.items():
            if name not in matched:
                self._lone("extra", other, field[name], (*paths[1], name))
        if not in_order and field.compare == "unordered":
            self.findings.lenient = True
        elif not in_order:
            self._add("order", cast(JSON, list(legacy)), cast(JSON, list(native)), field, paths, "minor")

    def _renamed(self, legacy: _Object, native: _Object) -> dict[str, str]:
        """Match names that contain ids or dates, in order, with those of the same spelling on the other side."""
        free: dict[str, deque[str]] = {}
        for name in native if self._by_role else ():
            spelling = mask(name)
            is_lone = name not in legacy and spelling != name
            if is_lone and self._names.may_have_partner(name, of_native=True):
                free.setdefault(spelling, deque()).append(name)
        partners: dict[str, str] = {}
        for name in legacy if free else ():
            is_lone = name not in native and self._names.may_have_partner(name)
            waiting = free.get(mask(name), ()) if is_lone else ()
            partner = next((other for other in waiting if self._may_be_one_name(name, other)), None)
            if partner is not None:
                partners[name] = partner
                free[mask(name)].remove(partner)
        return partners

    def _may_be_one_name(self, legacy: str, native: str) -> bool:
        one = match_volatile(legacy)
        other = match_volatile(native)
        names = self._names
        if one and other and one.kind in ("id", "stamp") and not names.may_correspond(legacy, native):
            return False
        return not names.compare_text(legacy, native)

    def _arrays(self, legacy: list[JSON], native: list[JSON], field: ValueField, paths: PathPair) -> None:
        free = field.compare == "unordered" or field.key is not None
        if not free and len(legacy) == len(native) == 1:
            self._pair(0, 0, legacy[0], native[0], field[ITEMS], paths)
            return
        may_correspond = self._names.may_correspond if self._by_role else str.__eq__
        alignment = align(legacy, native, may_correspond, field.key, free=free)
        below, pairs = field[ITEMS], alignment.pairs
        self.findings.lenient |= free and any(index != partner for index, partner in pairs)
        if (
            paths[0] is paths[1]
            and len(legacy) == len(native)
            and all(index == partner for index, partner in pairs)
            and len(pairs) >= MIN_ROWS
            and below.is_plain
        ):
            self._rows(legacy, native, below, paths[0])
            return
        for index, partner in in_symmetric_order(pairs, legacy, native) if self._by_role else pairs:
            if index is not None and partner is not None:
                self._pair(index, partner, legacy[index], native[partner], below, paths)
            elif index is not None:
                self._lone("missing", legacy[index], below, (*paths[0], index))
            elif partner is not None:
                self._lone("extra", native[partner], below, (*paths[1], partner))
        if alignment.moved:
            self._add("order", cast(JSON, legacy), cast(JSON, native), field, paths)

    def _rows(self, legacy: list[JSON], native: list[JSON], field: ValueField, above: ValuePath) -> None:
        """Compare the items of two arrays with their counterparts by index."""
        columns = ColumnComparison(self._by_role, self._pair)
        rows = list(range(len(legacy))) if self._by_role else _unequal(legacy, native)
        for start in range(0, len(rows), MAX_ROWS):
            part = rows[start : start + MAX_ROWS]
            legacy_values, native_values = [legacy[row] for row in part], [native[row] for row in part]
            cells = columns.cells(legacy_values, native_values, field, [(*above, row) for row in part])
            if cells is not None:
                self._compare_cells(self._without_ids(cells) if self._by_role else cells)
                continue
            for row, one, other in zip(part, legacy_values, native_values, strict=True):
                self._pair(row, row, one, other, field, (above, above))

    def _compare_cells(self, cells: Sequence[Cell]) -> None:
        """Compare what a comparison by column leaves, in this order."""
        kinds = {*map(type, cells)}
        if kinds == {Difference}:
            differences = self.findings.differences
            differences += cast("Sequence[Difference]", cells[: MAX_DIFFERENCES - len(differences)])
            if len(differences) >= MAX_DIFFERENCES:
                raise _TooManyError
        elif kinds == {tuple}:
            self._compare_roles(cast("Sequence[Texts]", cells))
        else:
            for cell in cells:
                if isinstance(cell, Difference):
                    self._record(cell)
                elif isinstance(cell, tuple):
                    self._compare_roles((cell,))
                elif cell is not None:
                    cell()

    def _without_ids(self, cells: list[Cell]) -> list[Cell]:
        """Return what is left to compare if all ids of columns correspond; a contradiction elsewhere is named there."""
        ids, others = split_ids(cells)
        learned = ids and self._names.learn_ids([pair[0] for pair in ids], [pair[1] for pair in ids])
        return others if learned else cells

    def _compare_roles(self, cells: Iterable[Texts]) -> None:
        names = self._names
        agreed, compare_text = names.agreed.get, names.compare_text
        for legacy, native, kind, field, step, above in cells:
            if agreed(legacy) != native:
                differences = compare_text(legacy, native, str(step), kind)
                if differences:
                    self._record_texts(differences, field, _below((above, above), step, step))

    def _texts(self, legacy: str, native: str, field: ValueField, paths: PathPair) -> None:
        strictness = field.strictness
        if strictness == "generated" or (strictness == "text" and self._by_role):
            self._texts_by_role(legacy, native, field, paths)
        elif legacy != native and _is_lenient(strictness, legacy, native):
            self.findings.lenient = True
        elif legacy != native:
            self._add(text_kind(legacy, native), legacy, native, field, paths)

    def _texts_by_role(self, legacy: str, native: str, field: ValueField, paths: PathPair) -> None:
        words = field.strictness == "text"
        self.findings.lenient |= legacy != native and (words or not self._by_role)
        if words:
            legacy, native = " ".join(legacy.split()), " ".join(native.split())
        self._record_texts(self._names.compare_text(legacy, native, str(paths[0][-1])), field, paths)

    def _record_texts(self, differences: Iterable[TextDifference], field: ValueField, paths: PathPair) -> None:
        """Record the differences of two texts at these paths."""
        for one in differences:
            spots = LocatedValue((*paths[0], *one.path), one.legacy), LocatedValue((*paths[1], *one.path), one.native)
            general = (*field.shape, *shape(one.path))
            self._record(Difference(general, one.kind, grade(one.kind, general), *_present(one.kind, *spots)))

    def _are_epochs_of_one_role(self, legacy: JSON, native: JSON, field: ValueField) -> bool:
        if not isinstance(legacy, int) or isinstance(legacy, bool) or field.strictness != "generated":
            return False
        texts = str(legacy), str(native)
        return match_volatile(texts[0]) is not None and not self._names.compare_text(*texts)

    def _lone(self, kind: DifferenceKind, value: JSON, field: ValueField, path: ValuePath) -> None:
        """Record a value that one side lacks."""
        if field.compare == "ignore":
            self.findings.hidden.append(field.shape)
        else:
            spot = LocatedValue(path, value)
            self._record(Difference(field.shape, kind, grade(kind, field.shape), *_present(kind, spot, spot)))

    def _add(
        self,
        kind: DifferenceKind,
        legacy: JSON,
        native: JSON,
        field: ValueField,
        paths: PathPair,
        severity: Severity | None = None,
    ) -> None:
        general = field.shape
        spots = _create(LocatedValue, (paths[0], legacy)), _create(LocatedValue, (paths[1], native))
        self._record(_create(Difference, (general, kind, severity or grade(kind, general), *spots)))

    def _record(self, difference: Difference) -> None:
        self.findings.differences.append(difference)
        if len(self.findings.differences) >= MAX_DIFFERENCES:
            raise _TooManyError


def _below(paths: PathPair, step: str | int, partner: str | int) -> PathPair:
    """Return the paths one step below."""
    legacy, native = paths
    path = (*legacy, step)
    return path, path if legacy is native and step == partner else (*native, partner)


def _is_lenient(strictness: Strictness, legacy: str, native: str) -> bool:
    """Return True if a rule accepts two unequal texts."""
    if strictness == "instant":
        return is_same_value(legacy, native)
    return strictness == "text" and legacy.split() == native.split()


def _present(
    kind: DifferenceKind, legacy: LocatedValue, native: LocatedValue
) -> tuple[LocatedValue | None, LocatedValue | None]:
    """Return the sides that have a value: one of them for `missing` or `extra`."""
    return None if kind == "extra" else legacy, None if kind == "missing" else native


def _unequal(legacy: list[JSON], native: list[JSON]) -> list[int]:
    """Return the indices of the items that differ, or may be equal with other types."""
    equal = list(map(eq, legacy, native))
    if _is_identical(list(compress(legacy, equal)), list(compress(native, equal))):
        return [index for index, is_equal in enumerate(equal) if not is_equal]
    return list(range(len(legacy)))


def _is_identical(legacy: JSON, native: JSON) -> bool:
    """Return True if equal values have equal types (1 is not true) and names in the same order.

    Their marshal format before version 3 depends on nothing else.
    """
    try:
        return marshal.dumps(legacy, 2) == marshal.dumps(native, 2)
    except ValueError:  # nested deeper than the format allows
        raise TooDeepError from None
