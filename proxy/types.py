"""Types shared by many packages. This module imports nothing from the project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NewType, TypeAlias

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
"""A JSON value as `json.loads` returns it."""

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]
"""Header fields as in ASGI: names and values in bytes, in order, including duplicates."""

HeaderFields: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Header fields that are only read."""

Backend: TypeAlias = Literal["legacy", "native"]
"""The name of a backend."""

ValuePath: TypeAlias = tuple[str | int, ...]
"""The path to a value in an answer: `("body", "notes", 0, "_id")`, `("header", "location")`, `("status",)`."""

DifferenceKind: TypeAlias = Literal[
    "missing", "extra", "type", "value", "format", "order", "outcome", "status", "header"
]
"""The kind of a difference between two answers."""

BasisPoints = NewType("BasisPoints", int)
"""A share or ratio in hundredths of a percent, from 0 to 10,000."""
