"""Infer the JSON Schema that many values satisfy. Pure.

A field is optional if it was absent from any value, and nullable if it was null in any.

Only a few of the observed texts are stored, to distinguish a handful of repeated words (an enum) from free text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from proxy.contract.schemas import FORMATS, has_format
from proxy.types import JSON

MAX_TEXTS: Final = 8
_WORD: Final = re.compile(r"[A-Za-z][\w-]{0,31}", re.ASCII)
_ENUM: Final = range(2, 6)
_REPEATED: Final = 3  # minimum occurrences of each word
_ORDER: Final = ("object", "array", "string", "integer", "number", "boolean", "null")


class InferredSchema:
    """A schema that grows with every value added; `schema()` is satisfied by all of them."""

    def __init__(self, values: Iterable[JSON] = ()) -> None:
        self.kinds: Final = Counter[str]()
        self.texts: Final = Counter[str]()
        self.formats: Final = set(FORMATS)
        self.properties: Final[dict[str, InferredSchema]] = {}
        self.items: Final[list[InferredSchema]] = []  # one schema of all items; none without items
        self.overflown = False
        for value in values:
            self.add(value)

    def add(self, value: JSON) -> None:
        """Add one sample."""
        kind = kind_of(value)
        self.kinds[kind] += 1
        if isinstance(value, str):
            self._add_text(value)
        elif isinstance(value, dict):
            for name, one in value.items():
                self.properties.setdefault(name, InferredSchema()).add(one)
        elif isinstance(value, list):
            for one in value:
                self.item().add(one)

    def item(self) -> InferredSchema:
        """Return the schema of the items of all lists."""
        if not self.items:
            self.items.append(InferredSchema())
        return self.items[0]

    @property
    def types(self) -> list[str]:
        """The JSON Schema types; `number` if both integers and other numbers were added."""
        result = [kind for kind in _ORDER if self.kinds[kind]]
        return [kind for kind in result if not (kind == "integer" and "number" in result)]

    @property
    def required(self) -> list[str]:
        """The properties that every object had."""
        objects = self.kinds["object"]
        return [name for name, shape in self.properties.items() if shape.kinds.total() == objects]

    @property
    def format(self) -> str | None:
        """The format that every text had."""
        return min(self.formats) if self.kinds["string"] and self.formats else None

    @property
    def enum(self) -> list[str]:
        """The words that occur as texts, if they are few and repeated; otherwise empty."""
        few = not self.overflown and len(self.texts) in _ENUM
        worded = all(_WORD.fullmatch(text) and times >= _REPEATED for text, times in self.texts.items())
        return list(self.texts) if few and worded else []

    def schema(self) -> dict[str, JSON]:
        """Return a JSON Schema that every added value satisfies."""
        types = self.types
        result: dict[str, JSON] = {"type": types[0] if len(types) == 1 else list(types)} if types else {}
        if self.kinds["string"]:
            result.update(self._text_schema())
        if self.kinds["object"]:
            result.update(self._object_schema())
        if self.items:
            result["items"] = self.items[0].schema()
        return result

    def _add_text(self, text: str) -> None:
        self.formats.difference_update([name for name in self.formats if not has_format(name, text)])
        if text in self.texts or len(self.texts) < MAX_TEXTS:
            self.texts[text] += 1
        else:
            self.overflown = True

    def _text_schema(self) -> dict[str, JSON]:
        if self.format:
            return {"format": self.format}
        nulls: list[JSON] = [None] if self.kinds["null"] else []
        only_texts = set(self.types) <= {"string", "null"}
        return {"enum": [*self.enum, *nulls]} if self.enum and only_texts else {}

    def _object_schema(self) -> dict[str, JSON]:
        """Describe an object; one whose names are all ids is a table with values of one schema."""
        if self.properties and all(has_format("objectid", name) for name in self.properties):
            return {"additionalProperties": merged(self.properties.values()).schema()}
        result: dict[str, JSON] = {}
        if self.properties:
            result["properties"] = {name: shape.schema() for name, shape in self.properties.items()}
        if self.required:
            result["required"] = list(self.required)
        return result


def kind_of(value: JSON) -> str:
    """Return the narrowest JSON Schema type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def merged(shapes: Iterable[InferredSchema]) -> InferredSchema:
    """Return a schema of all values that several schemas describe."""
    whole = InferredSchema()
    for shape in shapes:
        _absorb(whole, shape)
    return whole


def _absorb(whole: InferredSchema, shape: InferredSchema) -> None:
    whole.kinds.update(shape.kinds)
    if shape.kinds["string"]:
        whole.formats.intersection_update(shape.formats)
    for text, times in shape.texts.items():
        if text in whole.texts or len(whole.texts) < MAX_TEXTS:
            whole.texts[text] += times
        else:
            whole.overflown = True
    whole.overflown |= shape.overflown
    for name, below in shape.properties.items():
        _absorb(whole.properties.setdefault(name, InferredSchema()), below)
    for below in shape.items:
        _absorb(whole.item(), below)
