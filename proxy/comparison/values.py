"""Compare two JSON values node by node, by the contract's rules for each node. Pure.

Every node has a strictness: `literal` compares values as spelled, `generated` by role (`correspondence.py`). The
contract's `x-compare` sets it, otherwise the mode of the comparison.
"""

from __future__ import annotations

import marshal
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
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

_SCALARS: Final = frozenset((str, int, float, bool, type(None)))


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

    differences: list[Difference] = field(default_factory=list)
    hidden: list[ValuePath] = field(default_factory=list)
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
    rules = _Rules(hints, root) if hints else None
    own = Correspondence()
    walk = _ValueWalk(names or (lambda: own), root, by_role=by_role)
    with suppress(_TooManyError):
        walk.values(legacy, native, rules)
    return walk.findings


def is_fully_ignored(value: JSON, hints: HintsAt) -> bool:
    """Return whether the contract ignores all of a value."""
    waiting = [(value, _Rules(hints, ("body",)))]
    while waiting:
        value, rules = waiting.pop()
        if rules.compare == "ignore":
            continue
        if isinstance(value, dict) and value:
            waiting += [(item, rules.below(name)) for name, item in value.items()]
        elif isinstance(value, list) and value:
            waiting += [(item, rules.items()) for item in value]
        else:
            return False
    return True


def shape(path: Iterable[str | int]) -> ValuePath:
    """Return the path common to all nodes of a kind: `*` for an index, the kind for an id or date in a name."""
    return tuple(["*" if isinstance(step, int) else mask(step) for step in path])


class _Rules:
    """The contract's rules by path, resolved once for each walk. All items of an array share theirs."""

    __slots__ = ("_below", "_hints", "_path", "compare", "key")

    def __init__(self, hints_at: HintsAt, path: ValuePath) -> None:
        self._hints, self._path = hints_at, path
        self._below: dict[str | int, _Rules] = {}
        hints = hints_at(path)
        self.compare, self.key = hints.compare, hints.key

    def below(self, step: str | int) -> _Rules:
        known = self._below.get(step)
        if known is None:
            known = self._below[step] = _Rules(self._hints, (*self._path, step))
        return known

    def items(self) -> _Rules:
        return self.below(0)


class _ValueWalk:
    def __init__(self, names: Names, root: ValuePath, *, by_role: bool) -> None:
        self.findings = ValueFindings()
        self._names, self._by_role = names, by_role
        self._default: Strictness = "generated" if by_role else "literal"
        self._legacy_path: list[str | int] = list(root)
        self._native_path: list[str | int] = list(root)
        self._shape: list[str | int] = list(shape(root))

    def values(self, legacy: JSON, native: JSON, rules: _Rules | None) -> None:
        if rules is not None and rules.compare == "ignore":
            if legacy != native:
                self.findings.hidden.append(tuple(self._shape))
        elif type(legacy) is not type(native):
            self._add("format" if is_same_number(legacy, native) else "type", legacy, native)
        elif isinstance(legacy, dict):
            self._objects(legacy, cast("dict[str, JSON]", native), rules)
        elif isinstance(legacy, list):
            self._arrays(legacy, cast("list[JSON]", native), rules)
        elif isinstance(legacy, str):
            self._texts(legacy, cast(str, native), self._strictness(rules))
        elif legacy != native and not self._are_epochs_of_one_role(legacy, native, rules):
            self._add("value", legacy, native)

    def _strictness(self, rules: _Rules | None) -> Strictness:
        if rules is None or rules.compare is None or rules.compare in ("ignore", "unordered"):
            return self._default
        return cast("Strictness", rules.compare)

    def _objects(self, legacy: dict[str, JSON], native: dict[str, JSON], rules: _Rules | None) -> None:
        if list(legacy) != list(native):
            self._other_names(legacy, native, rules)
            return
        for name, one in legacy.items():
            other = native[name]
            if one == other and type(one) is type(other) and self._is_settled(name, one):
                continue
            below = rules.below(name) if rules else None
            if type(one) is not str or type(other) is not str or (below is not None and below.compare):
                self._pair(name, name, one, other, below)
            elif not self._by_role:
                self._literal_texts(name, one, other)
            elif len(name) < SHORTEST:
                self._generated_texts(name, one, other)
            else:
                self._pair(name, name, one, other, below)

    def _generated_texts(self, name: str, legacy: str, native: str) -> None:
        """Compare the texts of one member by role; step into it only if they differ."""
        differences = self._names().compare_text(legacy, native, name)
        if differences:
            for path in (self._legacy_path, self._native_path, self._shape):
                path.append(name)
            self._record_texts(differences)
            for path in (self._legacy_path, self._native_path, self._shape):
                path.pop()

    def _literal_texts(self, name: str, legacy: str, native: str) -> None:
        """Record that the texts of one member differ, without a step into it."""
        path = (*self._shape, name if len(name) < SHORTEST else mask(name))
        here = there = (*self._legacy_path, name)
        if self._native_path != self._legacy_path:
            there = (*self._native_path, name)
        kind = text_kind(legacy, native)
        spots = LocatedValue(here, legacy), LocatedValue(there, native)
        self._record(Difference(path, kind, grade(kind, path), *spots))

    def _is_settled(self, name: str, value: JSON) -> bool:
        """Return True if an equal scalar needs no comparison by role; an equal id may still contradict another pair."""
        if type(value) not in _SCALARS:
            return False
        if not self._by_role:
            return True
        return len(name) < SHORTEST and not (isinstance(value, str) and len(value) >= SHORTEST)

    def _pair(self, here: str | int, there: str | int, one: JSON, other: JSON, rules: _Rules | None) -> None:
        """Compare two values below the current path."""
        if not self._by_role and one == other and _is_identical(one, other):
            return
        self._legacy_path.append(here)
        self._native_path.append(there)
        self._shape.append("*" if isinstance(here, int) else here if len(here) < SHORTEST else mask(here))
        if len(self._legacy_path) > DEPTH:
            raise TooDeepError
        if self._by_role and isinstance(here, str) and isinstance(there, str) and len(here) >= SHORTEST:
            self._texts(here, there, "generated")
        self.values(one, other, rules)
        self._legacy_path.pop()
        self._native_path.pop()
        self._shape.pop()

    def _other_names(self, legacy: dict[str, JSON], native: dict[str, JSON], rules: _Rules | None) -> None:
        """Compare objects with different names, or the same names in another order."""
        partners = {name: name for name in legacy if name in native} | self._renamed(legacy, native)
        matched = set(partners.values())
        in_order = [partners[name] for name in legacy if name in partners] == [one for one in native if one in matched]
        for name in legacy if in_order else sorted(legacy):
            below = rules.below(name) if rules else None
            if name in partners:
                self._pair(name, partners[name], legacy[name], native[partners[name]], below)
            else:
                self._lone(name, "missing", legacy[name], below)
        for name, other in native.items():
            if name not in matched:
                self._lone(name, "extra", other, rules.below(name) if rules else None)
        if not in_order and rules is not None and rules.compare == "unordered":
            self.findings.lenient = True
        elif not in_order:
            self._add("order", cast(JSON, list(legacy)), cast(JSON, list(native)), "minor")

    def _renamed(self, legacy: dict[str, JSON], native: dict[str, JSON]) -> dict[str, str]:
        """Match names that contain ids or dates, in order, with those of the same spelling on the other side."""
        free: dict[str, deque[str]] = {}
        for name in native if self._by_role else ():
            if name not in legacy and (spelling := mask(name)) != name:
                free.setdefault(spelling, deque()).append(name)
        partners: dict[str, str] = {}
        for name in legacy if free else ():
            waiting = free.get(mask(name), ()) if name not in native else ()
            partner = next((other for other in waiting if self._may_be_one_name(name, other)), None)
            if partner is not None:
                partners[name] = partner
                free[mask(name)].remove(partner)
        return partners

    def _may_be_one_name(self, here: str, there: str) -> bool:
        one, other, names = match_volatile(here), match_volatile(there), self._names()
        if one and other and one.kind in ("id", "stamp") and not names.may_correspond(here, there):
            return False
        return not names.compare_text(here, there)

    def _arrays(self, legacy: list[JSON], native: list[JSON], rules: _Rules | None) -> None:
        free = rules is not None and (rules.compare == "unordered" or rules.key is not None)
        may_correspond = self._names().may_correspond if self._by_role else str.__eq__
        alignment = align(legacy, native, may_correspond, rules.key if rules else None, free=free)
        below = rules.items() if rules else None
        pairs = alignment.pairs
        self.findings.lenient |= free and any(here != there for here, there in pairs)
        for here, there in _in_symmetric_order(pairs, legacy, native) if self._by_role else pairs:
            if here is not None and there is not None:
                self._pair(here, there, legacy[here], native[there], below)
            elif here is not None:
                self._lone(here, "missing", legacy[here], below)
            elif there is not None:
                self._lone(there, "extra", native[there], below)
        if alignment.moved:
            self._add("order", cast(JSON, legacy), cast(JSON, native))

    def _texts(self, legacy: str, native: str, strictness: Strictness) -> None:
        if strictness == "generated" or (strictness == "text" and self._by_role):
            self._texts_by_role(legacy, native, words=strictness == "text")
        elif legacy != native and _is_lenient(strictness, legacy, native):
            self.findings.lenient = True
        elif legacy != native:
            self._add(text_kind(legacy, native), legacy, native)

    def _texts_by_role(self, legacy: str, native: str, *, words: bool = False) -> None:
        if words:
            legacy, native = " ".join(legacy.split()), " ".join(native.split())
        self._record_texts(self._names().compare_text(legacy, native, str(self._legacy_path[-1])))
        self.findings.lenient |= words or not self._by_role

    def _record_texts(self, differences: Iterable[TextDifference]) -> None:
        """Record the differences of the texts at the current path."""
        for one in differences:
            path = (*self._legacy_path, *one.path), (*self._native_path, *one.path)
            spots = LocatedValue(path[0], one.legacy), LocatedValue(path[1], one.native)
            general = (*self._shape, *shape(one.path))
            self._record(Difference(general, one.kind, grade(one.kind, general), *_present(one.kind, *spots)))

    def _are_epochs_of_one_role(self, legacy: JSON, native: JSON, rules: _Rules | None) -> bool:
        if not isinstance(legacy, int) or isinstance(legacy, bool) or self._strictness(rules) != "generated":
            return False
        texts = str(legacy), str(native)
        return match_volatile(texts[0]) is not None and not self._names().compare_text(*texts)

    def _lone(self, step: str | int, kind: DifferenceKind, value: JSON, rules: _Rules | None) -> None:
        path = self._legacy_path if kind == "missing" else self._native_path
        path.append(step)
        general = (*self._shape, *shape((step,)))
        if rules is not None and rules.compare == "ignore":
            self.findings.hidden.append(general)
        else:
            spot = LocatedValue(tuple(path), value)
            self._record(Difference(general, kind, grade(kind, general), *_present(kind, spot, spot)))
        path.pop()

    def _add(self, kind: DifferenceKind, legacy: JSON, native: JSON, severity: Severity | None = None) -> None:
        path = tuple(self._shape)
        spots = LocatedValue(tuple(self._legacy_path), legacy), LocatedValue(tuple(self._native_path), native)
        self._record(Difference(path, kind, severity or grade(kind, path), *spots))

    def _record(self, difference: Difference) -> None:
        self.findings.differences.append(difference)
        if len(self.findings.differences) >= MAX_DIFFERENCES:
            raise _TooManyError


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
