"""Align two arrays before their items are compared. Pure.

Aligning first keeps the work linear, because nested arrays are compared only once. Items are paired by the first of
these that works: an identifying field, equality, equality except for ids and dates, the index. Swapping the sides
mirrors the result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import repeat
from operator import ne
from typing import Final, NamedTuple, TypeAlias, cast

from proxy.comparison.volatile import mask
from proxy.types import JSON

MayCorrespond: TypeAlias = Callable[[str, str], bool]
"""Returns True if two ids can correspond to each other."""
Pair: TypeAlias = tuple[int | None, int | None]

_KEYS: Final = ("_id", "id")
_IDENTIFYING: Final = frozenset((str, int))


class Alignment(NamedTuple):
    """Index pairs in legacy's order, then the items that only native has.

    `moved` is set if the same items have another order.
    """

    pairs: tuple[Pair, ...]
    moved: bool = False


def align(
    legacy: Sequence[JSON], native: Sequence[JSON], may_correspond: MayCorrespond, key: str | None, *, free: bool
) -> Alignment:
    """Align two arrays. `key`: the identifying field that a contract names. `free`: their order has no meaning."""
    if not free and _is_unmoved(legacy, native):
        return _by_index(len(legacy), len(native))
    key = key or _identifying_key(legacy, native)
    if key is not None and not free and (_all_new(legacy, native, key) or _only_keys_differ(legacy, native, key)):
        return _by_index(len(legacy), len(native))
    matching = _Matching(legacy, native)
    if key is not None:
        matching.match(lambda item: _identity(item, key))
    matching.match(repr)
    moved = matching.moved()
    matching.match(lambda item: mask(repr(item)))
    matching.match_rest(lambda one, other: key is None or _may_be_same(one, other, key, may_correspond))
    return Alignment(matching.pairs(), moved and not free)


def in_symmetric_order(pairs: Iterable[Pair], legacy: Sequence[JSON], native: Sequence[JSON]) -> list[Pair]:
    """Return pairs in an order that does not depend on the sides, so that swapping them learns the same names."""

    def rank(pair: Pair) -> tuple[int, int, list[str]]:
        index, partner = pair
        indices = [index for index in pair if index is not None]
        if index is None or partner is None or index == partner or legacy[index] == native[partner]:
            return min(indices), max(indices), []
        return min(indices), max(indices), sorted((repr(legacy[index]), repr(native[partner])))

    listed = list(pairs)
    return (
        listed
        if all(index in (None, partner) or partner is None for index, partner in listed)
        else sorted(listed, key=rank)
    )


def _by_index(legacy: int, native: int) -> Alignment:
    shared = range(min(legacy, native))
    pairs: list[Pair] = list(zip(shared, shared, strict=True))
    pairs += [(index, None) for index in range(len(shared), legacy)]
    pairs += [(None, index) for index in range(len(shared), native)]
    return Alignment(tuple(pairs))


def _is_unmoved(legacy: Sequence[JSON], native: Sequence[JSON]) -> bool:
    """Return whether at most one item differs from its counterpart by index, so that none can have moved."""
    if len(legacy) != len(native):
        return False
    changed = filter(None, map(ne, legacy, native))
    return not (next(changed, False) and next(changed, False))


def _identifying_key(legacy: Sequence[JSON], native: Sequence[JSON]) -> str | None:
    """Return the field that identifies items on both sides: an id, or a field with the same values on both."""
    for key in _KEYS:
        if _values(legacy, key) and _values(native, key):
            return key
    shared = _fields(legacy) & _fields(native)
    return next(
        (key for key in sorted(shared) if (values := _values(legacy, key)) and values == _values(native, key)), None
    )


def _fields(items: Sequence[JSON]) -> set[str]:
    """Return the fields that every item has; none if an item is not an object."""
    if not items or not all(isinstance(item, dict) for item in items):
        return set()
    return set.intersection(*(set(item) for item in items if isinstance(item, dict)))


def _values(items: Sequence[JSON], key: str) -> set[Hashable] | None:
    """Return the values of a field; None if they do not identify the items."""
    if {*map(type, items)} != {dict}:
        return None if items else set()
    values = list(map(dict.get, cast("Sequence[dict[str, JSON]]", items), repeat(key)))
    if not _IDENTIFYING.issuperset(map(type, values)):
        return None
    distinct: set[Hashable] = set(cast("list[Hashable]", values))
    return distinct if len(distinct) == len(values) else None


def _all_new(legacy: Sequence[JSON], native: Sequence[JSON], key: str) -> bool:
    """Return True if the sides have no item in common, for example because each has created its own."""
    if len(legacy) != len(native):
        return False
    legacy_keys = _values(legacy, key)
    native_keys = _values(native, key)
    return legacy_keys is not None and native_keys is not None and legacy_keys.isdisjoint(native_keys)


def _only_keys_differ(legacy: Sequence[JSON], native: Sequence[JSON], key: str) -> bool:
    """Return True if items at the same index differ only in the key, which holds for no other order."""
    if len(legacy) != len(native) or any(map(ne, _without(legacy, key), _without(native, key))):
        return False
    return sorted(map(repr, legacy)) != sorted(map(repr, native))


def _without(items: Sequence[JSON], key: str) -> Iterable[JSON]:
    return ({**item, key: None} if isinstance(item, dict) else item for item in items)


def _identity(item: JSON, key: str) -> Hashable:
    value = item.get(key) if isinstance(item, dict) else None
    return (type(value), value) if isinstance(value, str | int | float) else None


def _may_be_same(one: JSON, other: JSON, key: str, may_correspond: MayCorrespond) -> bool:
    """Return True if items with different keys may be the same: both lack a key, or their keys can correspond."""
    one_key, other_key = (item.get(key) if isinstance(item, dict) else None for item in (one, other))
    if isinstance(one_key, str) and isinstance(other_key, str):
        return may_correspond(one_key, other_key)
    return one_key is None and other_key is None


class _Matching:
    def __init__(self, legacy: Sequence[JSON], native: Sequence[JSON]) -> None:
        self._legacy, self._native = legacy, native
        self._partners: dict[int, int] = {}
        self._unmatched_legacy = list(range(len(legacy)))
        self._unmatched_native = list(range(len(native)))

    def match(self, identify: Callable[[JSON], Hashable]) -> None:
        """Match unmatched items of the same identity, in order; items of identity None are not matched."""
        if not self._unmatched_legacy or not self._unmatched_native:
            return
        candidates: dict[Hashable, deque[int]] = {}
        for index in self._unmatched_native:
            candidates.setdefault(identify(self._native[index]), deque()).append(index)
        candidates.pop(None, None)
        for index in self._unmatched_legacy:
            if queue := candidates.get(identify(self._legacy[index])):
                self._partners[index] = queue.popleft()
        self._drop_matched()

    def match_rest(self, may_match: Callable[[JSON, JSON], bool]) -> None:
        """Match the remaining items in order, if two may be the same item."""
        for one, other in zip(self._unmatched_legacy, self._unmatched_native, strict=False):
            if may_match(self._legacy[one], self._native[other]):
                self._partners[one] = other
        self._drop_matched()

    def moved(self) -> bool:
        """Return whether the matched items have another order."""
        partners = [self._partners[index] for index in sorted(self._partners)]
        return partners != sorted(partners)

    def pairs(self) -> tuple[Pair, ...]:
        """Return all pairs in legacy's order, then native's unmatched items."""
        pairs: Iterable[Pair] = ((index, self._partners.get(index)) for index in range(len(self._legacy)))
        return (*pairs, *((None, index) for index in self._unmatched_native))

    def _drop_matched(self) -> None:
        matched = set(self._partners.values())
        self._unmatched_legacy = [index for index in self._unmatched_legacy if index not in self._partners]
        self._unmatched_native = [index for index in self._unmatched_native if index not in matched]
