"""Two exchanges and a contract, held together: what differs, how, and whether that was meant. Pure.

`exchanges.py` gives the verdict; `headers.py`, `bodies.py` and `values.py` (with `arrays.py`) find what differs;
`verdicts.py` has the words for it, and what must be known of an operation.
"""

from __future__ import annotations

from proxy.comparison.exchanges import blankets, compare, incomparable, unanswered
from proxy.comparison.verdicts import (
    Breach,
    Difference,
    Hints,
    Operation,
    Path,
    Reason,
    Severity,
    Side,
    Spot,
    Verdict,
    Violation,
    uncompared,
)

__all__ = [
    "Breach",
    "Difference",
    "Hints",
    "Operation",
    "Path",
    "Reason",
    "Severity",
    "Side",
    "Spot",
    "Verdict",
    "Violation",
    "blankets",
    "compare",
    "incomparable",
    "unanswered",
    "uncompared",
]
