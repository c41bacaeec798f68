"""Rollout states for pages and their JSON: every share in percent, every duration in seconds. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.rollout.analysis.analysis import MetricResult
from proxy.rollout.model import Attribution, AuditEntry, Cap, Kind, WaitReason
from proxy.types import BasisPoints

if TYPE_CHECKING:
    from proxy.rollout.progress import Progress


WAITS: Final[dict[WaitReason, str]] = {
    "cap": "capped",
    "completed": "last stage",
    "paused": "paused",
    "file": "limited by `native`",
    "gate": "gate fails",
    "bake_time": "bake time",
    "evidence": "needs more evidence",
    "approval": "needs approval",
    "window": "waits for its window",
    "nothing": "promotion due",
}
"""The reasons why a rollout waits, in words."""
MAX_NAMED: Final = 5
"""Groups that an entry of the history names at most."""


@dataclass(frozen=True, slots=True)
class ProgressView:
    """Progress of a rollout. `left`: seconds until the next stage at the earliest.

    `following`: the share that the next stage gives, at most that of the file; None if it gives no more. Before it has
    `started`, `stage` is the share that precedes its first stage.
    """

    started: bool
    stage: float
    following: float | None
    waits: WaitReason
    left: float
    gates: tuple[MetricResult, ...]

    @classmethod
    def of(cls, progress: Progress | None, limit: BasisPoints) -> ProgressView | None:
        """Return the view of a progress, None for None; `limit` is the share of the file."""
        if progress is None:
            return None
        share = min(progress.following or 0, limit)
        following = share / 100 if share > progress.stage else None
        return cls(progress.started, progress.stage / 100, following, progress.waits, progress.left, progress.gates)


@dataclass(frozen=True, slots=True)
class CapView:
    """A cap. `until`: the end of its cooldown, `left` seconds from now by the clock that replicas share.

    `is_rollback`: a person has set it, and may lift it at any time.
    """

    share: float
    by: Attribution
    until: float
    left: float
    acknowledged: Attribution | None
    is_rollback: bool

    @classmethod
    def of(cls, cap: Cap | None, now: float) -> CapView | None:
        """Return the view of a cap; None for None."""
        if cap is None:
            return None
        left = max(0.0, cap.until - now)
        return cls(cap.share / 100, cap.by, cap.until, left, cap.acknowledged, not cap.cooldown)


@dataclass(frozen=True, slots=True)
class ChangeView:
    """An entry of the history: the shares in force before and after, and the difference of the file's text.

    `routes` are the routes and groups whose settings a changed file changes.
    """

    kind: Kind
    by: Attribution
    before: float
    after: float
    route: str
    revision: str
    difference: str
    routes: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The route or group as text; for a changed file, the first ones whose settings it changes."""
        more = f" and {len(self.routes) - MAX_NAMED} more" if len(self.routes) > MAX_NAMED else ""
        return self.route or ", ".join(self.routes[:MAX_NAMED]) + more

    @classmethod
    def of(cls, entry: AuditEntry) -> ChangeView:
        """Return the view of an entry."""
        return cls(
            *(entry.kind, entry.by, entry.before / 100, entry.after / 100),
            *(entry.route, entry.revision, entry.difference, entry.routes),
        )
