"""Events of live traffic: a comparison, a skipped request, a replay on legacy.

Events contain unredacted exchanges with patient data. `ReportWriter` redacts them before it stores anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from proxy.comparison.exchange import Exchange
from proxy.comparison.verdicts import Reason, Verdict
from proxy.contract.model import Operation
from proxy.types import JSON, Backend

UNMATCHED = "-"
"""The route name of requests that no route matches."""


@dataclass(frozen=True, slots=True)
class ComparisonEvent:
    """Two exchanges of one request, and the verdict on them, which may be `skipped`.

    `writes` holds the writes that a dry run reported: mappings of `collection`, `operation` and `document`, `filter` or
    `update`, as JSON; None without a dry run.
    """

    route: str
    operation: Operation | None
    served: Backend
    verdict: Verdict
    legacy: Exchange
    native: Exchange
    writes: Sequence[Mapping[str, JSON]] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SkippedEvent:
    """Requests that were not compared because one of the two exchanges did not take place."""

    route: str
    served: Backend
    reason: Reason
    number: int = 1


@dataclass(frozen=True, slots=True)
class ReplayEvent:
    """A safe read that was sent to legacy twice; `verdict` compares the first answer with the second."""

    route: str
    operation: Operation | None
    verdict: Verdict
    first: Exchange
    again: Exchange


Entry: TypeAlias = ComparisonEvent | SkippedEvent | ReplayEvent
