"""Schemas: a model's paths, and whether a stored document is read unchanged."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import ClassVar, Final

from bson import ObjectId
from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript import Value
from handlers.legacy.mongoose import casts
from handlers.legacy.mongoose.inherited import INHERITED
from handlers.legacy.mongoose.path_types import DatePath, IdListPath, IdPath, NumberPath
from handlers.legacy.mongoose.paths import Missing, Path
from handlers.legacy.mongoose.values import is_out_of_order

_ONLY_IDS: Final = frozenset({ObjectId})


def is_settled_value(value: object) -> bool:
    """Return whether a stored date or array is read unchanged: a date in JavaScript's range, an array of ids only."""
    if isinstance(value, list):
        return _ONLY_IDS.issuperset(map(type, value))
    return isinstance(value, DatetimeMS) and -casts.LAST_DAY <= int(value) <= casts.LAST_DAY


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
        self.deciding_fields = lru_cache(maxsize=1024)(self._deciding_fields)

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Return the required paths, last first, as mongoose collects them."""
        return tuple(name for name in reversed(list(self.paths)) if self.paths[name].required)

    def is_settled(self, stored: Mapping[str, Value], selected: Collection[str] = ()) -> bool:
        """Return whether a stored document is read unchanged: all types are valid, and no default is missing."""
        deciding = self.deciding_fields(tuple(stored), tuple(map(type, stored.values())), tuple(selected))
        return deciding is not None and all(is_settled_value(stored[name]) for name in deciding)

    def _deciding_fields(
        self, names: tuple[str, ...], types: tuple[type, ...], selected: tuple[str, ...]
    ) -> tuple[str, ...] | None:
        """Return the fields whose values decide whether documents of this shape are settled; None if none is."""
        for name in self._defaulted:
            if name not in names and (not selected or name in selected):
                return None
        deciding = []
        for name, kind in zip(names, types, strict=True):
            path = self.paths.get(name)
            if path is None:
                if is_out_of_order(name) or name in INHERITED or kind is dict:
                    return None
            elif not path.is_settled(kind):
                return None
            elif isinstance(path, IdListPath | DatePath) and kind in (list, DatetimeMS):
                deciding.append(name)
        return tuple(deciding)

    @cached_property
    def _defaulted(self) -> tuple[str, ...]:
        return tuple(n for n, path in self.paths.items() if n != "_id" and not isinstance(path.default, Missing))

    def find(self, name: str) -> Path | None:
        """Return the path of exactly this name."""
        return self.paths.get(name)
