"""Types that many packages share. This module imports nothing from the project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NewType, TypeAlias

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
"""A JSON value as `json.loads` returns it."""

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]
"""Header fields as ASGI has them: names and values in bytes, in order, duplicates included."""

HeaderFields: TypeAlias = Sequence[tuple[bytes, bytes]]
"""The same where nothing is changed."""

Backend: TypeAlias = Literal["legacy", "native"]
"""The name of a backend."""

ValuePath: TypeAlias = tuple[str | int, ...]
"""The path to a value in an answer: `("body", "notes", 0, "_id")`, `("header", "location")`, `("status",)`."""

BasisPoints = NewType("BasisPoints", int)
"""A share in hundredths of a percent, from 0 to 10,000: the share of callers that native gets, a limit, a ratio."""
