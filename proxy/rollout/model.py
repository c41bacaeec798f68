"""What is known of a route's rollout, as frozen values. Pure.

Times are seconds since the epoch, by the clock of whoever keeps the state (MongoDB's, so that all replicas agree).
Shares are in ten-thousandths of callers.
"""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass, fields
from typing import Any, Final, Literal, TypeAlias

from proxy.config.field_types import FULL
from proxy.config.models import Route
from proxy.rollout.analysis.window import WindowBucket

GUARD: Final = "guard"
"""Who acts when no person does."""
SCHEDULE: Final = "schedule"
FILE: Final = "routing.yaml"

Kind = Literal["start", "promotion", "gate", "pause", "resume", "cap", "rollback", "ack", "release", "share", "config"]
"""What happened: a rollout began, went up a stage, missed a gate; a person paused it, or resumed it; the guard, or a
person, capped the share; that was acknowledged, is over; the file has another share, is another."""
StateDocument: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attribution:
    """Something done, or found: who, why, when."""

    actor: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Cap:
    """The most that is left of a share, until it is acknowledged and `until` has passed."""

    share: int
    by: Attribution
    until: float
    acknowledged: Attribution | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the history. `before` and `after` are shares; `route` and `revision` are empty where none is meant.

    `revision` is the route's own, or for `config` the file's.
    """

    kind: Kind
    by: Attribution
    before: int
    after: int
    route: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class RouteState:
    """One revision of a route. `version` grows by one with each change, and `change` is the one that made it so.

    `stage` is the share that the rollout has reached (None: it has not begun, or there is none), since `since`;
    `passing` is when its gates began to be passed: the bake time is counted from there. `missed` is the gate that was
    last missed, `paused` says that a person has stopped the rollout at this stage.
    """

    key: str
    change: AuditEntry
    version: int = 1
    stage: int | None = None
    since: float = 0.0
    passing: float = 0.0
    missed: Attribution | None = None
    paused: Attribution | None = None
    cap: Cap | None = None

    @property
    def epoch(self) -> str:
        """Names the time since when the bake time is counted; evidence of another time does not count."""
        return f"{self.key}#{self.passing:.3f}"

    def document(self) -> StateDocument:
        """As it is stored."""
        return {"_id": self.key, **{name: value for name, value in asdict(self).items() if name != "key"}}

    @classmethod
    def of(cls, document: StateDocument) -> RouteState:
        """As it was stored."""
        values = _known(cls, document)  # a later release may have stored more
        for name in ("missed", "paused"):
            values[name] = _deed(values[name])
        if values["cap"] is not None:
            cap = values["cap"]
            values["cap"] = Cap(cap["share"], Attribution(**cap["by"]), cap["until"], _deed(cap["acknowledged"]))
        values["change"] = change_of(values["change"])
        return cls(key=document["_id"], **values)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What all replicas saw while a stage's bake time was counted: requests of both sides with their errors (400 and
    above), and shadow comparisons with those that differed."""

    native: int = 0
    native_errors: int = 0
    legacy: int = 0
    legacy_errors: int = 0
    compared: int = 0
    differing: int = 0

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))

    @classmethod
    def of(cls, seen: WindowBucket) -> Evidence:
        """What a slice of a watch says."""
        native, legacy = seen.native, seen.legacy
        return cls(native.requests, native.errors, legacy.requests, legacy.errors, seen.compared, seen.differing)


def change_of(document: StateDocument) -> AuditEntry:
    """A change as it was stored."""
    return AuditEntry(**{**_known(AuditEntry, document), "by": Attribution(**document["by"])})


def state_key(route: Route) -> str:
    """What a route's state is kept under: another `revision` is another native side, which begins anew."""
    return f"{route.name}@{route.revision}" if route.revision is not None else route.name


def ceiling(route: Route) -> int:
    """The most that the file lets native have."""
    return route.native if route.pin is None else FULL * (route.pin == "native")


def _known(of: type[RouteState] | type[AuditEntry], document: StateDocument) -> StateDocument:
    names = {field.name for field in fields(of)}
    return {name: value for name, value in document.items() if name in names}


def _deed(document: StateDocument | None) -> Attribution | None:
    return Attribution(**document) if document is not None else None
