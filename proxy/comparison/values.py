"""Two JSON values walked side by side, by what a contract says of each place.

Strings that hold ids, dates and tokens go to `canonical.Correspondence`. Those that are equal need no look, unless some
id was renamed: then the walk is made once more, strictly, so that an id that stands for itself in one place and for
another in the next shows.
"""

from __future__ import annotations

import marshal
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from proxy.comparison.arrays import align
from proxy.comparison.bodies import DEPTH
from proxy.comparison.correspondence import Correspondence, Kind
from proxy.comparison.verdicts import Difference, LocatedValue, Severity, grade
from proxy.comparison.volatile import mask, match_volatile, split_volatile
from proxy.contract.values import Hints
from proxy.types import JSON, ValuePath

Asking: TypeAlias = Callable[[ValuePath], Hints]
"""Asks a contract what it says of a place in the body."""

_VOLATILE_FROM = 13
"""No id, date or token is shorter than this."""
_IDS_TO = 40
"""No id, date or stamp is longer; tokens are."""
_PERHAPS = re.compile(r"[0-9a-f]{13}", re.ASCII)
"""What every id holds."""
_PLAIN = frozenset((str, int, float, bool, type(None)))


ENOUGH = 1000
"""How many differences are told of one answer."""


class TooDeepError(ValueError):
    """The values nest deeper than is compared."""


class _EnoughError(Exception):
    """There are so many differences that more would say nothing."""


@dataclass(slots=True)
class ValueFindings:
    """What a walk has found; `hidden` are fields in which a rule hid a difference."""

    differences: list[Difference] = field(default_factory=list)
    hidden: list[ValuePath] = field(default_factory=list)


def compare_values(
    legacy: JSON, native: JSON, begin: Callable[[], Correspondence], asking: Asking | None = None
) -> ValueFindings:
    """Every place in the body where two values differ; `begin` makes names that know the request's ids.

    Raises TooDeepError, and RecursionError where the stack is short already.
    """
    root = _Rules(asking, ("body",)) if asking else None
    walk = _ValueWalk(begin())
    walk.run(legacy, native, root)
    if not walk.is_contradicted():
        return walk.findings
    strict = _ValueWalk(begin(), strict=True)
    strict.run(legacy, native, root)
    return strict.findings


def shows_nothing(value: JSON, asking: Asking) -> bool:
    """Whether the contract ignores all of a value."""
    waiting = [(value, _Rules(asking, ("body",)))]
    while waiting:
        value, rules = waiting.pop()
        if rules.compare == "ignore":
            continue
        if isinstance(value, dict) and value:
            waiting += [(one, rules.below(name)) for name, one in value.items()]
        elif isinstance(value, list) and value:
            waiting += [(one, rules.items()) for one in value]
        else:
            return False
    return True


def shape(path: Iterable[str | int]) -> ValuePath:
    """The path that all places of its kind share."""
    return tuple("*" if isinstance(step, int) else mask(step) for step in path)


class _Rules:
    """The contract's rules by place, asked for once a walk: all items of an array share theirs."""

    __slots__ = ("_asking", "_below", "_path", "compare", "key")

    def __init__(self, asking: Asking, path: ValuePath) -> None:
        self._asking, self._path = asking, path
        self._below: dict[str | int, _Rules] = {}
        hints = asking(path)
        self.compare, self.key = hints.compare, hints.key

    def below(self, step: str | int) -> _Rules:
        known = self._below.get(step)
        if known is None:
            known = self._below[step] = _Rules(self._asking, (*self._path, step))
        return known

    def items(self) -> _Rules:
        return self.below(0)


class _ValueWalk:
    def __init__(self, names: Correspondence, *, strict: bool = False) -> None:
        self.findings = ValueFindings()
        self._names, self._strict = names, strict
        self._equal: list[JSON] = []
        self._keyed: list[dict[str, JSON]] = []
        self._ours: list[str | int] = ["body"]
        self._theirs: list[str | int] = ["body"]

    def run(self, ours: JSON, theirs: JSON, rules: _Rules | None) -> None:
        """Walk from the root."""
        with suppress(_EnoughError):
            self.values(ours, theirs, rules)

    def values(self, ours: JSON, theirs: JSON, rules: _Rules | None) -> None:
        if rules is not None and rules.compare == "ignore":
            if ours != theirs:
                self._hide()
        elif type(ours) is not type(theirs):
            self._add_types(ours, theirs)
        elif isinstance(ours, dict):
            self._objects(ours, cast("dict[str, JSON]", theirs), rules)
        elif isinstance(ours, list):
            self._arrays(ours, cast("list[JSON]", theirs), rules)
        elif isinstance(ours, str):
            self._texts(ours, cast(str, theirs), rules)
        elif ours != theirs:
            self._strings(str(ours), str(theirs), None, ours, theirs)

    def _texts(self, ours: str, theirs: str, rules: _Rules | None) -> None:
        if ours != theirs or self._strict:
            self._strings(ours, theirs, rules)

    def is_contradicted(self) -> bool:
        """Whether an id that was renamed stands for itself somewhere."""
        ours, theirs = self._names.renamed()
        renamed = ours | theirs
        if not renamed:
            return False
        texts = set(_texts(self._equal)).union(*self._keyed)
        return any(_mentions(text, renamed) for text in texts)

    def _objects(self, ours: dict[str, JSON], theirs: dict[str, JSON], rules: _Rules | None) -> None:
        self._keyed.append(ours)
        if list(ours) != list(theirs):
            self._unlike(ours, theirs, rules)
            return
        strict, equal = self._strict, self._equal
        for name, one in ours.items():
            other = theirs[name]
            kind = type(one)
            if kind is not type(other) or kind not in _PLAIN or strict:
                self._pair(name, name, one, other, rules.below(name) if rules else None)
            elif one == other:
                if isinstance(one, str) and len(one) >= _VOLATILE_FROM:
                    equal.append(one)
            else:
                below = rules.below(name) if rules else None
                if not isinstance(one, str) or not self._is_renamed(one, cast(str, other), below):
                    self._pair(name, name, one, other, below)

    def _is_renamed(self, ours: str, theirs: str, rules: _Rules | None) -> bool:
        """Whether texts that differ are the same but for their ids and dates."""
        if len(ours) <= _IDS_TO and self._names.stands_for(ours) == theirs:
            return True
        return not (rules and rules.compare) and not self._names.compare_text(ours, theirs, "")

    def _pair(self, here: str | int, there: str | int, one: JSON, other: JSON, rules: _Rules | None) -> None:
        """Two values beneath the present place."""
        if not self._strict and one == other and _is_identical(one, other):
            self._equal.append(one)
            return
        self._ours.append(here)
        self._theirs.append(there)
        if len(self._ours) > DEPTH:
            raise TooDeepError
        if self._strict and isinstance(here, str) and isinstance(there, str):
            self._strings(here, there, None)
        self.values(one, other, rules)
        self._ours.pop()
        self._theirs.pop()

    def _unlike(self, ours: dict[str, JSON], theirs: dict[str, JSON], rules: _Rules | None) -> None:
        """Objects whose names are not the same, or stand in another order."""
        partners = {name: name for name in ours if name in theirs} | self._renamed(ours, theirs)
        taken = set(partners.values())
        for name, one in ours.items():
            below = rules.below(name) if rules else None
            if name in partners:
                self._pair(name, partners[name], one, theirs[partners[name]], below)
            else:
                self._lone(name, "missing", one, below)
        for name, other in theirs.items():
            if name not in taken:
                self._lone(name, "extra", other, rules.below(name) if rules else None)
        free = rules is not None and rules.compare == "unordered"
        if not free and [partners[name] for name in ours if name in partners] != [n for n in theirs if n in taken]:
            self._add("order", cast(JSON, list(ours)), cast(JSON, list(theirs)), "minor")

    def _renamed(self, ours: dict[str, JSON], theirs: dict[str, JSON]) -> dict[str, str]:
        """Names that hold ids or dates, matched in order with those that are spelled alike on the other side."""
        free: dict[str, deque[str]] = {}
        for name in theirs:
            if name not in ours and (spelling := mask(name)) != name:
                free.setdefault(spelling, deque()).append(name)
        partners: dict[str, str] = {}
        for name in ours if free else ():
            waiting = free.get(mask(name)) if name not in theirs else None
            if waiting and self._agree(name, waiting[0]):
                partners[name] = waiting.popleft()
        return partners

    def _agree(self, here: str, there: str) -> bool:
        one, other = match_volatile(here), match_volatile(there)
        if one and other and one.kind in ("id", "stamp") and not self._names.may_stand_for(here, there):
            return False
        return not self._names.compare_text(here, there, "")

    def _arrays(self, ours: list[JSON], theirs: list[JSON], rules: _Rules | None) -> None:
        free = rules is not None and (rules.compare == "unordered" or rules.key is not None)
        alignment = align(ours, theirs, self._names, rules.key if rules else None, free=free)
        below = rules.items() if rules else None
        for here, there in alignment.pairs:
            if here is not None and there is not None:
                self._pair(here, there, ours[here], theirs[there], below)
            elif here is not None:
                self._lone(here, "missing", ours[here], below)
            elif there is not None:
                self._lone(there, "extra", theirs[there], below)
        if alignment.moved:
            self._add("order", cast(JSON, ours), cast(JSON, theirs))

    def _strings(self, ours: str, theirs: str, rules: _Rules | None, one: JSON = None, other: JSON = None) -> None:
        """Two texts, or two numbers (`one` and `other`) by their spelling."""
        values = (ours, theirs) if one is None else (one, other)
        if rules is not None and rules.compare == "text":
            ours, theirs = " ".join(ours.split()), " ".join(theirs.split())
        for found in self._names.compare_text(ours, theirs, ""):
            if found.path:
                self._add_within(found.path.split(".")[1:], found.recorded, found.live)
            else:
                self._add("value" if _is_alike(ours, theirs) else "type", *values)

    def _lone(self, step: str | int, kind: Kind, value: JSON, rules: _Rules | None) -> None:
        path = self._ours if kind == "missing" else self._theirs
        path.append(step)
        if rules is not None and rules.compare == "ignore":
            self.findings.hidden.append(shape(path))
        else:
            spot, general = LocatedValue(tuple(path), value), shape(path)
            sides = (spot, None) if kind == "missing" else (None, spot)
            self._tell(Difference(general, kind, grade(kind, general), *sides))
        path.pop()

    def _add_types(self, ours: JSON, theirs: JSON) -> None:
        numbers = {type(ours), type(theirs)} == {int, float} and ours == theirs
        self._add("type", ours, theirs, "minor" if numbers else None)

    def _add(self, kind: Kind, ours: JSON, theirs: JSON, severity: Severity | None = None) -> None:
        path = shape(self._ours)
        legacy, native = LocatedValue(tuple(self._ours), ours), LocatedValue(tuple(self._theirs), theirs)
        self._tell(Difference(path, kind, severity or grade(kind, path), legacy, native))

    def _add_within(self, steps: list[str], ours: str, theirs: str) -> None:
        """A difference inside a token."""
        legacy, native = LocatedValue((*self._ours, *steps), ours), LocatedValue((*self._theirs, *steps), theirs)
        path = shape(legacy.path)
        self._tell(Difference(path, "value", grade("value", path), legacy, native))

    def _tell(self, difference: Difference) -> None:
        self.findings.differences.append(difference)
        if len(self.findings.differences) >= ENOUGH:
            raise _EnoughError

    def _hide(self) -> None:
        self.findings.hidden.append(shape(self._ours))


def _is_identical(ours: JSON, theirs: JSON) -> bool:
    """Whether equal values have equal types (1 is not true) and names in one order: told by their serialisation,
    which before version 3 of the format depends on nothing else."""
    try:
        return marshal.dumps(ours, 2) == marshal.dumps(theirs, 2)
    except ValueError:  # nested deeper than the format goes
        raise TooDeepError from None


def _texts(values: Iterable[JSON]) -> Iterator[str]:
    """Every text and every name in some values."""
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            yield from value


def _is_alike(ours: str, theirs: str) -> bool:
    """Whether both are texts, both ids, both dates and so on."""
    one, other = match_volatile(ours), match_volatile(theirs)
    return (one.kind if one else "") == (other.kind if other else "")


def _mentions(text: str, ids: set[str]) -> bool:
    return text in ids or (
        _PERHAPS.search(text) is not None and any(piece.text in ids for piece in split_volatile(text))
    )
