"""The share of the requested comparisons that were made, and the remedy if it is small. Pure.

Requests that cannot be compared by their nature (event streams, disconnected clients, writes without a dry run) do not
count as requested. Requests that were skipped for lack of capacity of the machine or a backend do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from proxy.comparison.verdicts import Reason
from proxy.gateway.patterns import WEBSOCKET
from proxy.reports.models import RouteSummary

REMEDIES: Final[Mapping[Reason, tuple[str, str]]] = {
    "shed": ("CPU contended", "add a core, lower the share of a busy route, or raise shadow.max_cpu_wait"),
    "queue_full": ("queue full", "raise shadow.concurrency or shadow.queue, or lower the share of a busy route"),
    "timeout": ("too slow", "raise shadow.deadline (shadow.dry_run_timeout for writes), or shadow.concurrency"),
    "backend_unavailable": (
        "backend unavailable, or shadow process starting",
        "see the log of the gateway and the state of the backends",
    ),
    "worker_crashed": ("shadow process restarted", "see the log of the gateway, and raise shadow.max_memory"),
    "body_too_large": ("bodies too large", "raise shadow.max_body"),
}
"""Causes and remedies of requests that were not compared for lack of capacity, by reason."""
FULL_COVERAGE: Final = 0.95
"""Share of the requested comparisons at which no warning is shown."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """The comparisons of a route that were requested and made.

    `cause` and `remedy` are those of the most frequent reason; empty if nothing was skipped for lack of capacity.
    """

    requested: int
    compared: int
    cause: str = ""
    remedy: str = ""

    @property
    def share(self) -> float | None:
        """Return the share (0 to 1) of the requested comparisons that were made; None if none was requested."""
        return self.compared / self.requested if self.requested else None

    @property
    def is_partial(self) -> bool:
        """Return whether considerably fewer comparisons were made than requested."""
        return self.share is not None and self.share < FULL_COVERAGE


def coverage_of(summary: RouteSummary) -> Coverage:
    """Return the coverage of a route."""
    missed = {reason: summary.skipped.get(reason, 0) for reason in REMEDIES}
    requested = summary.compared + sum(missed.values())
    if requested == summary.compared:
        return Coverage(requested, summary.compared)
    return Coverage(requested, summary.compared, *REMEDIES[max(missed, key=lambda reason: missed[reason])])


def native_only(summary: RouteSummary, match: str) -> str | None:
    """Return `writes` or `conversations` if some were not compared because native served them, otherwise None.

    `match` is the route's in routing.yaml. Legacy cannot run dry, so sending them to it would store them twice.
    """
    if not summary.requests.get("native") or not summary.skipped.get("write_not_allowed"):
        return None
    return "conversations" if match.startswith(f"{WEBSOCKET} ") else "writes"
