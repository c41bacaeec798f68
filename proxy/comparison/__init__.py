"""Two exchanges and a contract, held together: what differs, how, and whether that was meant. Pure.

`exchanges.py` gives the verdict; `headers.py`, `bodies.py` and `values.py` (with `arrays.py`) find what differs;
`verdicts.py` has the words for it, and what must be known of an operation.
"""

from __future__ import annotations

from proxy.comparison.exchanges import catch_all_divergences, compare, incomparable, unanswered
from proxy.comparison.verdicts import (
    ContractOperation,
    ContractViolation,
    Difference,
    HintsLike,
    LocatedValue,
    Path,
    Reason,
    Severity,
    Side,
    Verdict,
    ViolationLike,
    skipped,
)

__all__ = [
    "ContractOperation",
    "ContractViolation",
    "Difference",
    "HintsLike",
    "LocatedValue",
    "Path",
    "Reason",
    "Severity",
    "Side",
    "Verdict",
    "ViolationLike",
    "catch_all_divergences",
    "compare",
    "incomparable",
    "skipped",
    "unanswered",
]
