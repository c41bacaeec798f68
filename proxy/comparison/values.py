"""Compare two JSON values node by node, by the contract's rules for each node. Pure.

Every node has a strictness: `literal` compares values as spelled, `generated` by role (`correspondence.py`). The
contract's `x-compare` sets it, otherwise the mode of the comparison.
"""

from __future__ import annotations

import marshal
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property
from typing import Final, Literal, TypeAlias, cast

from proxy.comparison.arrays import align
from proxy.comparison.bodies import DEPTH
from proxy.comparison.correspondence import Correspondence, TextDifference
from proxy.comparison.spelling import is_same_number, is_same_value, text_kind
from proxy.comparison.verdicts import Difference, LocatedValue, Severity, grade
from proxy.comparison.volatile import SHORTEST, mask, match_volatile
from proxy.contract.values import Hints
from proxy.types import JSON, DifferenceKind, ValuePath

HintsAt: TypeAlias = Callable[[ValuePath], Hints]
"""Returns the contract's hints for a path in the body."""
Names: TypeAlias = Callable[[], Correspondence]
"""Returns the correspondence of this comparison; called only if values are compared by role."""
Strictness: TypeAlias = Literal["literal", "generated", "instant", "text"]

MAX_DIFFERENCES: Final = 1000
"""Maximum number of differences of one answer."""

ITEMS: Final = 0
"""The step to the items of an array, in paths by which the contract is asked for its rules."""

_Object: TypeAlias = dict[str, JSON]
_Paths: TypeAlias = tuple[ValuePath, ValuePath]
_NO_HINTS: Final = Hints()
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
        field = _Field(hints, root, shape(root), "generated" if by_role else "literal")
        walk.values(legacy, native, field, (root, root))
    return walk.findings


def is_fully_ignored(value: JSON, hints: HintsAt) -> bool:
    """Return whether the contract ignores all of a value."""
    waiting = [(value, _Field(hints, ("body",), ("body",), "literal"))]
    while waiting:
        value, field = waiting.pop()
        if field.compare == "ignore":
            continue
        if isinstance(value, dict) and value:
            waiting += [(item, field[name]) for name, item in value.items()]
        elif isinstance(value, list) and value:
            waiting += [(item, field[ITEMS]) for item in value]
        else:
            return False
    return True


def shape(path: Iterable[str | int]) -> ValuePath:
    """Return the path common to all nodes of a kind: `*` for an index, the kind for an id or date in a name."""
    return tuple(["*" if isinstance(step, int) else mask(step) for step in path])


class _Field(dict[str | int, "_Field"]):
    """A field of one walk and those below it by name. All items of an array share the field `ITEMS`.

    `shape` is its path in differences; `compare` and `key` are the contract's rules for it. `has_role`: its name
    is compared by role too. `is_plain`: the mode alone decides how its value is compared.
    """

    __slots__ = ("_default", "_hints", "_path", "compare", "has_role", "is_plain", "key", "shape", "strictness")

    def __init__(
        self, hints_at: HintsAt | None, path: ValuePath, shape: ValuePath, default: Strictness, has_role: bool = False
    ) -> None:
        super().__init__()
        self._hints, self._path, self._default = hints_at, path, default
        hints = hints_at(path) if hints_at is not None else _NO_HINTS
        self.compare, self.key, self.shape = hints.compare, hints.key, shape
        is_of_texts = self.compare not in (None, "ignore", "unordered")
        self.strictness: Strictness = cast("Strictness", self.compare) if is_of_texts else default
        self.has_role, self.is_plain = has_role, not (self.compare or has_role)

    def __missing__(self, step: str | int) -> _Field:
        general = (*self.shape, *shape((step,)))
        has_role = self._default == "generated" and isinstance(step, str) and general[-1] != step
        return self.setdefault(step, _Field(self._hints, (*self._path, step), general, self._default, has_role))


class _ValueWalk:
    """One comparison. The paths of both sides are one object if they are equal."""

    def __init__(self, names: Names, *, by_role: bool) -> None:
        self.findings = ValueFindings()
        self._create_names, self._by_role = names, by_role

    @cached_property
    def _names(self) -> Correspondence:
        return self._create_names()

    def values(self, legacy: JSON, native: JSON, field: _Field, paths: _Paths) -> None:
        if len(paths[0]) > DEPTH:
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

    def _objects(self, legacy: _Object, native: _Object, field: _Field, paths: _Paths) -> None:
        if list(legacy) != list(native):
            self._other_names(legacy, native, field, paths)
            return
        literal, is_shallow = not self._by_role, len(paths[0]) < DEPTH
        for name, one in legacy.items():
            other = native[name]
            if one is other and literal:
                continue
            below = field[name]
            if not below.is_plain:
                self._pair(name, name, one, other, below, paths)
            elif type(one) is str and type(other) is str:
                if not literal:
                    self._texts_of_roles(one, other, below, paths, name)
                elif one != other:
                    self._add(text_kind(one, other), one, other, below, _extended(paths, name, name))
            elif type(one) is dict and type(other) is dict and is_shallow:
                self._objects(one, other, below, _extended(paths, name, name))
            else:
                self._pair(name, name, one, other, below, paths)

    def _texts_of_roles(self, legacy: str, native: str, field: _Field, above: _Paths, name: str) -> None:
        """Compare two texts of an object by role; equal texts may contradict others."""
        if len(legacy) >= SHORTEST or legacy != native:
            differences = self._names.compare_text(legacy, native, name)
            if differences:
                self._record_texts(differences, field, above, name)

    def _pair(self, here: str | int, there: str | int, one: JSON, other: JSON, field: _Field, above: _Paths) -> None:
        """Compare two values below `above`; `field` is theirs."""
        if field.has_role:
            names = str(here), str(there)
            self._record_texts(self._names.compare_text(*names, names[0]), field, above, *names)
        elif not self._by_role and one == other and _is_identical(one, other):
            return
        self.values(one, other, field, _extended(above, here, there))

    def _other_names(self, legacy: _Object, native: _Object, field: _Field, paths: _Paths) -> None:
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

    def _may_be_one_name(self, here: str, there: str) -> bool:
        one, other, names = match_volatile(here), match_volatile(there), self._names
        if one and other and one.kind in ("id", "stamp") and not names.may_correspond(here, there):
            return False
        return not names.compare_text(here, there)

    def _arrays(self, legacy: list[JSON], native: list[JSON], field: _Field, paths: _Paths) -> None:
        free = field.compare == "unordered" or field.key is not None
        if not free and len(legacy) == len(native) == 1:
            self._pair(0, 0, legacy[0], native[0], field[ITEMS], paths)
            return
        may_correspond = self._names.may_correspond if self._by_role else str.__eq__
        alignment = align(legacy, native, may_correspond, field.key, free=free)
        below, pairs = field[ITEMS], alignment.pairs
        self.findings.lenient |= free and any(here != there for here, there in pairs)
        for here, there in _in_symmetric_order(pairs, legacy, native) if self._by_role else pairs:
            if here is not None and there is not None:
                self._pair(here, there, legacy[here], native[there], below, paths)
            elif here is not None:
                self._lone("missing", legacy[here], below, (*paths[0], here))
            elif there is not None:
                self._lone("extra", native[there], below, (*paths[1], there))
        if alignment.moved:
            self._add("order", cast(JSON, legacy), cast(JSON, native), field, paths)

    def _texts(self, legacy: str, native: str, field: _Field, paths: _Paths) -> None:
        strictness = field.strictness
        if strictness == "generated" or (strictness == "text" and self._by_role):
            self._texts_by_role(legacy, native, field, paths)
        elif legacy != native and _is_lenient(strictness, legacy, native):
            self.findings.lenient = True
        elif legacy != native:
            self._add(text_kind(legacy, native), legacy, native, field, paths)

    def _texts_by_role(self, legacy: str, native: str, field: _Field, paths: _Paths) -> None:
        words = field.strictness == "text"
        self.findings.lenient |= legacy != native and (words or not self._by_role)
        if words:
            legacy, native = " ".join(legacy.split()), " ".join(native.split())
        self._record_texts(self._names.compare_text(legacy, native, str(paths[0][-1])), field, paths)

    def _record_texts(self, differences: Iterable[TextDifference], field: _Field, above: _Paths, *steps: str) -> None:
        """Record the differences of the texts at the paths; `steps` lead to them from `above`, on native last."""
        for one in differences:
            here, there = _extended(above, steps[0], steps[-1]) if steps else above
            spots = LocatedValue((*here, *one.path), one.legacy), LocatedValue((*there, *one.path), one.native)
            general = (*field.shape, *shape(one.path))
            self._record(Difference(general, one.kind, grade(one.kind, general), *_present(one.kind, *spots)))

    def _are_epochs_of_one_role(self, legacy: JSON, native: JSON, field: _Field) -> bool:
        if not isinstance(legacy, int) or isinstance(legacy, bool) or field.strictness != "generated":
            return False
        texts = str(legacy), str(native)
        return match_volatile(texts[0]) is not None and not self._names.compare_text(*texts)

    def _lone(self, kind: DifferenceKind, value: JSON, field: _Field, path: ValuePath) -> None:
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
        field: _Field,
        paths: _Paths,
        severity: Severity | None = None,
    ) -> None:
        here, there, general = *paths, field.shape
        spots = _create(LocatedValue, (here, legacy)), _create(LocatedValue, (there, native))
        self._record(_create(Difference, (general, kind, severity or grade(kind, general), *spots)))

    def _record(self, difference: Difference) -> None:
        self.findings.differences.append(difference)
        if len(self.findings.differences) >= MAX_DIFFERENCES:
            raise _TooManyError


def _extended(paths: _Paths, here: str | int, there: str | int) -> _Paths:
    """Return the paths one step below."""
    legacy, native = paths
    below = (*legacy, here)
    return (below, below) if legacy is native and here == there else (below, (*native, there))


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


def _in_symmetric_order(
    pairs: Iterable[tuple[int | None, int | None]], legacy: list[JSON], native: list[JSON]
) -> list[tuple[int | None, int | None]]:
    """Return pairs in an order that does not depend on the sides, so that swapping them learns the same names."""

    def rank(pair: tuple[int | None, int | None]) -> tuple[int, int, list[str]]:
        here, there = pair
        indices = [index for index in pair if index is not None]
        if here is None or there is None or here == there or legacy[here] == native[there]:
            return min(indices), max(indices), []
        return min(indices), max(indices), sorted((repr(legacy[here]), repr(native[there])))

    listed = list(pairs)
    return listed if all(here is None or there in (here, None) for here, there in listed) else sorted(listed, key=rank)


def _is_identical(legacy: JSON, native: JSON) -> bool:
    """Return True if equal values have equal types (1 is not true) and names in the same order.

    Their marshal format before version 3 depends on nothing else.
    """
    try:
        return marshal.dumps(legacy, 2) == marshal.dumps(native, 2)
    except ValueError:  # nested deeper than the format allows
        raise TooDeepError from None
