"""Pair the entries of two redacted trees: fields by name, array items by content. Pure.

A field that only legacy has and one that only native has, with the same content, may be one field under two names. An
item that both have at different indexes has moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from proxy.reports.models import Tree

Step: TypeAlias = str

ID_FIELDS: Final = ("_id", "id")
"""Names of fields that identify an item."""


class Pair(NamedTuple):
    """Entries that belong together: the step to each (None on the side that lacks it), and their trees."""

    legacy_step: Step | None
    native_step: Step | None
    legacy: Tree | None
    native: Tree | None

    @property
    def differs_in_step(self) -> bool:
        """Return True if both sides have the entry, but under two names or at two indexes."""
        return None not in (self.legacy_step, self.native_step) and self.legacy_step != self.native_step


def pair_fields(legacy: Tree | None, native: Tree | None) -> list[Pair]:
    """Pair the fields of two objects: legacy's in their order, then those that only native has."""
    one, other = dict(_fields(legacy)), dict(_fields(native))
    renamed = _renamed(one, other)
    pairs = []
    for name, tree in one.items():
        step = name if name in other else renamed.get(name)
        pairs.append(Pair(name, step, tree, other[step] if step is not None else None))
    taken = {pair.native_step for pair in pairs}
    return [*pairs, *(Pair(None, name, None, tree) for name, tree in other.items() if name not in taken)]


def pair_items(legacy: Tree | None, native: Tree | None, hints: Mapping[int, int]) -> list[Pair]:
    """Pair the items of two arrays: legacy's in their order, then those that only native has.

    These are paired, in this order: equal items (first at the same index), those of `hints` (legacy's index to
    native's), those of one id, and the rest by index.
    """
    one, other = list(_items(legacy)), list(_items(native))
    matches = _matches(one, other, hints)
    pairs = []
    for index, tree in enumerate(one):
        partner = matches.get(index)
        step = str(partner) if partner is not None else None
        pairs.append(Pair(str(index), step, tree, other[partner] if partner is not None else None))
    taken = set(matches.values())
    return [*pairs, *(Pair(None, str(at), None, tree) for at, tree in enumerate(other) if at not in taken)]


def _matches(one: Sequence[Tree], other: Sequence[Tree], hints: Mapping[int, int]) -> dict[int, int]:
    matches = {at: at for at, (mine, its) in enumerate(zip(one, other, strict=False)) if mine == its}
    taken = set(matches.values())

    def add(candidates: Iterable[tuple[int, int]]) -> None:
        for mine, its in candidates:
            if mine not in matches and its not in taken and mine < len(one) and its < len(other):
                matches[mine] = its
                taken.add(its)

    add(hints.items())
    add(_of_one_id(one, other))
    add(
        (mine, its)
        for mine, tree in enumerate(one)
        if mine not in matches and is_informative(tree)
        for its, candidate in enumerate(other)
        if candidate == tree
    )
    add((at, at) for at in range(min(len(one), len(other))))
    return matches


def _of_one_id(one: Sequence[Tree], other: Sequence[Tree]) -> Iterator[tuple[int, int]]:
    """Yield the indexes of items with an id that exactly one item of each array has, as the comparison does."""
    for key in ID_FIELDS:
        one_values, other_values = ([dict(_fields(tree)).get(key) for tree in items] for items in (one, other))
        for index, value in enumerate(one_values):
            is_unique = one_values.count(value) == other_values.count(value) == 1
            if is_unique and value is not None and is_informative(value):
                yield index, other_values.index(value)


def _renamed(one: Mapping[str, Tree], other: Mapping[str, Tree]) -> dict[str, str]:
    """Return native's names for fields that only legacy has, if exactly one field of equal content fits."""
    missing = [name for name in one if name not in other]
    extra = [name for name in other if name not in one]
    result = {}
    for name in missing:
        equal = [candidate for candidate in extra if other[candidate] == one[name]]
        rivals = [rival for rival in missing if one[rival] == one[name]]
        if len(equal) == 1 and len(rivals) == 1 and is_informative(one[name]):
            result[name] = equal[0]
    return result


def is_informative(tree: Tree) -> bool:
    """Return whether a tree identifies a value: it has a digest or a shown value somewhere."""
    if "digest" in tree or tree.get("value") not in (None, True, False):
        return True
    return any(is_informative(below) for below in (*_items(tree), *(value for _, value in _fields(tree))))


def _fields(tree: Tree | None) -> Iterator[tuple[str, Tree]]:
    fields: Any = tree.get("fields") if tree is not None else None
    for name, value in fields or ():
        yield str(name), value


def _items(tree: Tree | None) -> Iterator[Tree]:
    items: Any = tree.get("items") if tree is not None else None
    yield from items or ()
