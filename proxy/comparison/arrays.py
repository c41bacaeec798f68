"""Which item of one array stands for which of another, settled before any two are compared.

Settling it first keeps the work linear: arrays within arrays are never compared twice. Items belong together by the
field that tells them apart, else by being equal, else by being equal but for ids and dates, else by their place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from operator import ne
from typing import TypeAlias, cast

from proxy.comparison.correspondence import Correspondence
from proxy.comparison.volatile import mask
from proxy.types import JSON

_KEYS = ("_id", "id")
_TELLING = frozenset((str, int))
Pair: TypeAlias = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Alignment:
    """Index pairs in legacy's order, then what only native has; `moved` where both have the same in another order."""

    pairs: tuple[Pair, ...]
    moved: bool = False


def align(
    legacy: Sequence[JSON], native: Sequence[JSON], names: Correspondence, key: str | None, *, free: bool
) -> Alignment:
    """Match two arrays; `key` is the field that a contract names, `free` says that order does not count."""
    if not free and _in_place(legacy, native):
        return _by_place(len(legacy), len(native))
    key = key or _telling(legacy, native)
    if key is not None and not free and _all_new(legacy, native, key):
        return _by_place(len(legacy), len(native))
    matching = _Matching(legacy, native)
    if key is not None:
        matching.match(lambda item: _identity(item, key))
    matching.match(_spelling)
    moved = matching.moved()
    matching.match(lambda item: mask(repr(item)))
    matching.match_rest(lambda one, other: key is None or _may_be_same(one, other, key, names))
    return Alignment(matching.pairs(), moved and not free)


def _by_place(legacy: int, native: int) -> Alignment:
    shared = min(legacy, native)
    pairs: list[Pair] = [(index, index) for index in range(shared)]
    pairs += [(index, None) for index in range(shared, legacy)]
    return Alignment((*pairs, *((None, index) for index in range(shared, native))))


def _in_place(legacy: Sequence[JSON], native: Sequence[JSON]) -> bool:
    """Whether at most one item differs from what stands in its place: nothing can have moved."""
    return len(legacy) == len(native) and sum(map(ne, legacy, native)) < 2


def _telling(legacy: Sequence[JSON], native: Sequence[JSON]) -> str | None:
    """The field that tells items apart on both sides: an id, or one that has the same values on both."""
    for key in _KEYS:
        if _values(legacy, key) and _values(native, key):
            return key
    shared = _fields(legacy) & _fields(native)
    return next(
        (key for key in sorted(shared) if (ours := _values(legacy, key)) and ours == _values(native, key)), None
    )


def _fields(items: Sequence[JSON]) -> set[str]:
    """The fields that every item has; none where one is no object."""
    if not items or not all(isinstance(item, dict) for item in items):
        return set()
    return set.intersection(*(set(item) for item in items if isinstance(item, dict)))


def _values(items: Sequence[JSON], key: str) -> set[Hashable] | None:
    """The values of a field, None where they do not tell the items apart."""
    found = [item.get(key) if isinstance(item, dict) else None for item in items]
    if not _TELLING.issuperset(map(type, found)):
        return None
    values: set[Hashable] = set(cast("list[Hashable]", found))
    return values if len(values) == len(found) else None


def _all_new(legacy: Sequence[JSON], native: Sequence[JSON], key: str) -> bool:
    """Whether the sides have not one item in common, as when each has made its own."""
    if len(legacy) != len(native):
        return False
    ours, theirs = ({_identity(item, key) for item in items} for items in (legacy, native))
    return not ours & theirs


def _identity(item: JSON, key: str) -> Hashable:
    value = item.get(key) if isinstance(item, dict) else None
    return (type(value), value) if isinstance(value, str | int | float) else None


def _spelling(item: JSON) -> Hashable:
    return repr(item)


def _may_be_same(one: JSON, other: JSON, key: str, names: Correspondence) -> bool:
    """Whether items with different keys may be one: made on each side just now, or without a key at all."""
    ours, theirs = (item.get(key) if isinstance(item, dict) else None for item in (one, other))
    if isinstance(ours, str) and isinstance(theirs, str):
        return names.may_stand_for(ours, theirs)
    return ours is None and theirs is None


class _Matching:
    def __init__(self, legacy: Sequence[JSON], native: Sequence[JSON]) -> None:
        self._legacy, self._native = legacy, native
        self._found: dict[int, int] = {}
        self._left, self._right = list(range(len(legacy))), list(range(len(native)))

    def match(self, tell: Callable[[JSON], Hashable]) -> None:
        """Match what is unmatched and told the same, first come first served; None tells nothing."""
        if not self._left or not self._right:
            return
        waiting: dict[Hashable, deque[int]] = {}
        for index in self._right:
            waiting.setdefault(tell(self._native[index]), deque()).append(index)
        waiting.pop(None, None)
        for index in self._left:
            if queue := waiting.get(tell(self._legacy[index])):
                self._found[index] = queue.popleft()
        self._forget()

    def match_rest(self, may: Callable[[JSON, JSON], bool]) -> None:
        """Match what is left in its order, where the two may be one."""
        for one, other in zip(self._left, self._right, strict=False):
            if may(self._legacy[one], self._native[other]):
                self._found[one] = other
        self._forget()

    def moved(self) -> bool:
        found = [self._found[index] for index in sorted(self._found)]
        return found != sorted(found)

    def pairs(self) -> tuple[Pair, ...]:
        ours: Iterable[Pair] = ((index, self._found.get(index)) for index in range(len(self._legacy)))
        return (*ours, *((None, index) for index in self._right))

    def _forget(self) -> None:
        taken = set(self._found.values())
        self._left = [index for index in self._left if index not in self._found]
        self._right = [index for index in self._right if index not in taken]
