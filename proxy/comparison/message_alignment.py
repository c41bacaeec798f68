"""Pair the messages of two servers in one conversation. Pure.

Both servers sent their messages in an order, so pairs do not cross. The pairing with the least cost pairs the most
messages of equal kind and content. Unpaired messages of the same kind on both sides have moved.

Often either of two groups may have moved: `F S P P` and `P P F S`. Messages that may be sent in any order are then the
ones that have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Final, NamedTuple, TypeAlias

MAX_CELLS: Final = 40_000
"""Maximum product of both numbers of messages for pairing by cost; beyond it, they are paired by index."""
_OTHER_DETAIL, _OTHER_CONTENT, _GAP, _OTHER_KIND = 1, 64, 256, 384


class Signature(NamedTuple):
    """The kind of a message, such as its `type`, and its content without ids and dates.

    `detail` is the rest of its content, which may differ. `is_unordered`: whether it may be sent in another order.
    """

    kind: str
    content: str
    detail: str = ""
    is_unordered: bool = False

    def is_like(self, other: Signature) -> bool:
        """Return whether both are of the same kind."""
        return (self.kind, self.is_unordered) == (other.kind, other.is_unordered)

    def is_equal(self, other: Signature) -> bool:
        """Return whether both are of the same kind and content."""
        return self.is_like(other) and self.content == other.content


Cost: TypeAlias = Callable[[Signature, Signature], int]
"""The cost of a pair of messages."""


class MessagePair(NamedTuple):
    """Indexes of two messages that belong together; None on the side that lacks it. `moved`: in another order."""

    legacy: int | None
    native: int | None
    moved: bool = False


def align_messages(legacy: Sequence[Signature], native: Sequence[Signature]) -> list[MessagePair]:
    """Return the pairs in legacy's order, then the messages that only native has."""
    pairs = _aligned(legacy, native)
    if all(_is_sound(pair, legacy, native) for pair in pairs) or not any(each.is_unordered for each in legacy):
        return pairs
    best = min(_aligned_apart(legacy, native), pairs, key=lambda each: _ordered_faults(each, legacy, native))
    return _with_changed(best, legacy, native)


def _aligned(legacy: Sequence[Signature], native: Sequence[Signature]) -> list[MessagePair]:
    before = _common(legacy, native)
    after = _common(legacy[before:][::-1], native[before:][::-1])
    inner = _align(legacy[before : len(legacy) - after], native[before : len(native) - after])
    pairs = [MessagePair(index, index) for index in range(before)]
    pairs += [MessagePair(_shift(one, before), _shift(other, before)) for one, other in inner]
    ends = zip(range(len(legacy) - after, len(legacy)), range(len(native) - after, len(native)), strict=True)
    return sorted(_with_moved(pairs + [MessagePair(*end) for end in ends], legacy, native), key=_rank)


def _is_sound(pair: MessagePair, legacy: Sequence[Signature], native: Sequence[Signature]) -> bool:
    """Return whether two messages of one kind are paired that have not moved."""
    one, other, moved = pair
    return one is not None and other is not None and not moved and legacy[one].is_like(native[other])


def _ordered_faults(pairs: Sequence[MessagePair], legacy: Sequence[Signature], native: Sequence[Signature]) -> int:
    """Return the number of pairs with an ordered message that has moved, or that lacks a partner of its kind."""
    return sum(
        any(
            index is not None and not side[index].is_unordered
            for index, side in zip(pair[:2], (legacy, native), strict=True)
        )
        for pair in pairs
        if not _is_sound(pair, legacy, native)
    )


def _with_changed(
    pairs: Sequence[MessagePair], legacy: Sequence[Signature], native: Sequence[Signature]
) -> list[MessagePair]:
    """Pair unpaired messages of one `type` that stand between the same pairs: a changed field may forbid the order."""
    result = list(pairs)
    for one in [pair.legacy for pair in pairs if pair.native is None and pair.legacy is not None]:
        fixed = [each[:2] for each in result if None not in each[:2] and not each.moved]
        for other in [pair.native for pair in result if pair.legacy is None and pair.native is not None]:
            is_between = all((one < a) == (other < b) for a, b in fixed if a is not None and b is not None)
            if legacy[one].kind == native[other].kind and is_between:
                result = [each for each in result if each[:2] not in {(one, None), (None, other)}]
                result.append(MessagePair(one, other))
                break
    return sorted(result, key=_rank)


def _aligned_apart(legacy: Sequence[Signature], native: Sequence[Signature]) -> list[MessagePair]:
    """Return the pairs of ordered messages, and of the others, which have moved if they cross one of the former."""
    ordered = _aligned_part(legacy, native, is_unordered=False)
    fixed = [(one, other) for one, other, moved in ordered if one is not None and other is not None and not moved]

    def crosses(pair: MessagePair) -> bool:
        one, other, _ = pair
        return one is not None and other is not None and any((one < a) != (other < b) for a, b in fixed)

    others = _aligned_part(legacy, native, is_unordered=True)
    return sorted([*ordered, *(pair._replace(moved=pair.moved or crosses(pair)) for pair in others)], key=_rank)


def _aligned_part(legacy: Sequence[Signature], native: Sequence[Signature], *, is_unordered: bool) -> list[MessagePair]:
    """Return the pairs of the messages that are, or are not, unordered."""
    legacy_indexes, native_indexes = (
        [index for index, each in enumerate(side) if each.is_unordered is is_unordered] for side in (legacy, native)
    )
    pairs = _aligned([legacy[index] for index in legacy_indexes], [native[index] for index in native_indexes])
    return [MessagePair(_at(legacy_indexes, one), _at(native_indexes, other), moved) for one, other, moved in pairs]


def _at(indexes: Sequence[int], index: int | None) -> int | None:
    return None if index is None else indexes[index]


def _shift(index: int | None, by: int) -> int | None:
    return None if index is None else index + by


def _rank(pair: MessagePair) -> tuple[bool, int]:
    return pair.legacy is None, (pair.native if pair.legacy is None else pair.legacy) or 0


def _common(legacy: Sequence[Signature], native: Sequence[Signature]) -> int:
    """Return the number of first messages that are equal."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(legacy, native, strict=False)))


def _align(legacy: Sequence[Signature], native: Sequence[Signature]) -> list[tuple[int | None, int | None]]:
    """Return the pairing of least cost (Needleman and Wunsch), from the last pair back to the first."""
    if len(legacy) * len(native) > MAX_CELLS:
        shared = min(len(legacy), len(native))
        pairs: list[tuple[int | None, int | None]] = [(index, index) for index in range(shared)]
        pairs += [(index, None) for index in range(shared, len(legacy))]
        return pairs + [(None, index) for index in range(shared, len(native))]
    is_permuted = Counter(map(_without_detail, legacy)) == Counter(map(_without_detail, native))
    cost = _equality_cost if is_permuted else _cost
    return _trace_back(_costs(legacy, native, cost), legacy, native, cost)


def _costs(legacy: Sequence[Signature], native: Sequence[Signature], cost: Cost) -> list[list[int]]:
    """Return the least cost of pairing the first i and j messages, for all i and j."""
    table = [[_GAP * column for column in range(len(native) + 1)]]
    for row, one in enumerate(legacy, 1):
        above, current = table[-1], [_GAP * row]
        for column, other in enumerate(native, 1):
            paired = above[column - 1] + cost(one, other)
            current.append(min(paired, above[column] + _GAP, current[-1] + _GAP))
        table.append(current)
    return table


def _without_detail(signature: Signature) -> Signature:
    return signature._replace(detail="")


def _cost(one: Signature, other: Signature) -> int:
    if not one.is_like(other):
        return _OTHER_KIND
    if one.content != other.content:
        return _OTHER_CONTENT
    return 0 if one.detail == other.detail else _OTHER_DETAIL


def _equality_cost(one: Signature, other: Signature) -> int:
    """Return the cost of a pair if both sides sent the same messages, of which each therefore has an equal one."""
    return _cost(one, other) if one.is_equal(other) else 3 * _GAP


def _trace_back(
    table: list[list[int]], legacy: Sequence[Signature], native: Sequence[Signature], cost: Cost
) -> list[tuple[int | None, int | None]]:
    pairs: list[tuple[int | None, int | None]] = []
    row, column = len(legacy), len(native)
    while row or column:
        least = table[row][column]
        if row and column and least == table[row - 1][column - 1] + cost(legacy[row - 1], native[column - 1]):
            row, column = row - 1, column - 1
            pairs.append((row, column))
        elif row and least == table[row - 1][column] + _GAP:
            row -= 1
            pairs.append((row, None))
        else:
            column -= 1
            pairs.append((None, column))
    return pairs


def _with_moved(
    pairs: Sequence[MessagePair], legacy: Sequence[Signature], native: Sequence[Signature]
) -> list[MessagePair]:
    """Pair the unpaired messages of one kind as moved."""
    loose = {pair for pair in pairs if None in pair[:2] or not legacy[pair[0] or 0].is_like(native[pair[1] or 0])}
    partners: dict[int, int] = {}
    free = sorted(pair.native for pair in loose if pair.native is not None)
    for index in sorted(pair.legacy for pair in loose if pair.legacy is not None):
        same_kind = [other for other in free if native[other].is_like(legacy[index])]
        equal = (other for other in same_kind if native[other] == legacy[index])
        partner = next(equal, same_kind[0] if same_kind else None)
        if partner is not None:
            partners[index] = partner
            free.remove(partner)
    if not partners:
        return list(pairs)
    result = [pair for pair in pairs if pair not in loose]
    result += [MessagePair(one, other, moved=True) for one, other in partners.items()]
    taken = set(partners.values())
    for pair in loose:
        one = None if pair.legacy in partners else pair.legacy
        other = None if pair.native in taken else pair.native
        result += [] if one is None and other is None else [MessagePair(one, other)]
    return result
