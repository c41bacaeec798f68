"""Values that users of a contract get: hints on fields, and violations. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from proxy.types import Backend, ValuePath

Compare = Literal["literal", "instant", "generated", "text", "unordered", "ignore"]
COMPARES: Final[tuple[Compare, ...]] = get_args(Compare)


@dataclass(frozen=True, slots=True)
class ContractViolation:
    """A value that does not satisfy the contract.

    `path` leads to it: `("status",)`, `("header", name)`, `("body", …)`. `rule` is the JSON Schema keyword, or
    `status`, `content-type`, `operation` or `depth`. Neither `rule` nor `message` holds a value.
    `backend` is the one that gave the answer, None if no comparison was made.
    """

    path: ValuePath
    rule: str
    message: str
    backend: Backend | None = None


@dataclass(frozen=True, slots=True)
class Hints:
    """How to compare a value, and whether reports may show it.

    `compare` is `x-compare`: compare a value as spelled (`literal`), a date by its moment (`instant`), an id, date or
    token by its role (`generated`), only the words of a `text`, an array as `unordered`, or `ignore` the value.
    `key` names the field that identifies the items of an array (`x-compare: {key: _id}`). `report` is `x-report`.
    """

    compare: Compare | None = None
    key: str | None = None
    report: Literal["show"] | None = None
    format: str | None = None


NOTHING: Final = Hints()
