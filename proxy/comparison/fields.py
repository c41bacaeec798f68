"""The fields of values in a comparison, with the contract's rules for each. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Literal, TypeAlias, cast

from proxy.comparison.volatile import mask
from proxy.contract.model import HintsAt
from proxy.contract.values import NOTHING
from proxy.types import JSON, ValuePath

Strictness: TypeAlias = Literal["literal", "generated", "instant", "text"]

ITEMS: Final = 0
"""The step to the items of an array, in paths by which the contract is asked for its rules."""
MAX_FIELDS: Final = 1000
"""Number of fields below one that are kept for the next value; names in live answers may be ids."""


def is_fully_ignored(value: JSON, hints: HintsAt) -> bool:
    """Return whether the contract ignores all of a value."""
    waiting = [(value, ValueField(hints, ("body",), ("body",), "literal"))]
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


def root_field(hints: HintsAt | None, root: ValuePath, default: Strictness) -> ValueField:
    """Return the field of a whole value: for the same arguments the same one, with the fields below it."""
    field = _root_field(hints, root, default)
    if field.count[0] > MAX_FIELDS:
        field.clear()
        field.count[0] = 0
    return field


@lru_cache(maxsize=256)
def _root_field(hints: HintsAt | None, root: ValuePath, default: Strictness) -> ValueField:
    return ValueField(hints, root, shape(root), default)


class ValueField(dict[str | int, "ValueField"]):
    """A field and those below it by name. All items of an array share the field `ITEMS`.

    `shape` is its path in differences; `compare` and `key` are the contract's rules for it. `has_role`: its name
    is compared by role too. `is_plain`: the mode alone decides how its value is compared. `count` has one item: the
    number of fields below the topmost one.
    """

    __slots__ = (
        "_default",
        "_hints",
        "_path",
        "compare",
        "count",
        "has_role",
        "is_plain",
        "key",
        "shape",
        "strictness",
    )

    def __init__(
        self,
        hints_at: HintsAt | None,
        path: ValuePath,
        shape: ValuePath,
        default: Strictness,
        has_role: bool = False,
        count: list[int] | None = None,
    ) -> None:
        self.count = count or [0]
        hints = NOTHING if hints_at is None else hints_at(path)
        compare = hints.compare
        self._hints, self._path, self._default, self.shape, self.has_role = hints_at, path, default, shape, has_role
        self.compare, self.key, self.is_plain = compare, hints.key, compare is None and not has_role
        is_of_texts = compare not in (None, "ignore", "unordered")
        self.strictness: Strictness = cast("Strictness", compare) if is_of_texts else default

    def __missing__(self, step: str | int) -> ValueField:
        spelling = "*" if isinstance(step, int) else mask(step)
        has_role = spelling != step and self._default == "generated" and isinstance(step, str)
        below = (*self._path, step), (*self.shape, spelling)
        field = self[step] = ValueField(self._hints, *below, self._default, has_role, self.count)
        self.count[0] += 1
        return field
