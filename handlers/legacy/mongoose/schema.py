"""Schemas: a model's paths, and whether a stored document is read unchanged."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import ClassVar, Final

from bson import ObjectId

from handlers.legacy.javascript import Value
from handlers.legacy.mongoose.path_types import IdListPath, IdPath, NumberPath
from handlers.legacy.mongoose.paths import Missing, Path
from handlers.legacy.mongoose.values import is_out_of_order

_ONLY_IDS: Final = frozenset({ObjectId})


def holds_ids(array: object) -> bool:
    """Return whether an array contains only ids."""
    return isinstance(array, list) and _ONLY_IDS.issuperset(map(type, array))


class Schema:
    """A model's name and its paths, in the order in which documents are written.

    `_id` and, unless `versioned` is off, `__v` follow the given paths, as mongoose adds them.
    """

    known: ClassVar[dict[str, Schema]] = {}
    """The schemas by model name, which references use."""

    def __init__(self, model: str, paths: Iterable[Path], *, versioned: bool = True) -> None:
        self.model = model
        self.known[model] = self
        self.versioned = versioned
        added = (IdPath("_id", default=ObjectId), *((NumberPath("__v"),) if versioned else ()))
        self.paths: Mapping[str, Path] = {path.name: path for path in (*paths, *added)}
        self.arrays_of = lru_cache(maxsize=1024)(self._arrays_of)

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Return the required paths, last first, as mongoose collects them."""
        return tuple(name for name in reversed(list(self.paths)) if self.paths[name].required)

    def is_settled(self, stored: Mapping[str, Value], selected: Collection[str] = ()) -> bool:
        """Return whether a stored document is read unchanged: all types are valid, and no default is missing."""
        arrays = self.arrays_of(tuple(stored), tuple(map(type, stored.values())), tuple(selected))
        return arrays is not None and all(holds_ids(stored[name]) for name in arrays)

    def _arrays_of(
        self, names: tuple[str, ...], types: tuple[type, ...], selected: tuple[str, ...]
    ) -> tuple[str, ...] | None:
        """Return the arrays whose items decide whether documents of this shape are settled; None if none is settled."""
        for name in self._defaulted:
            if name not in names and (not selected or name in selected):
                return None
        arrays = []
        for name, kind in zip(names, types, strict=True):
            path = self.paths.get(name)
            if path is None:
                if is_out_of_order(name) or kind is dict:
                    return None
            elif not path.is_settled(kind):
                return None
            elif isinstance(path, IdListPath) and kind is list:
                arrays.append(name)
        return tuple(arrays)

    @cached_property
    def _defaulted(self) -> tuple[str, ...]:
        return tuple(n for n, path in self.paths.items() if n != "_id" and not isinstance(path.default, Missing))

    def find(self, name: str) -> Path | None:
        """Return the path of exactly this name."""
        return self.paths.get(name)
