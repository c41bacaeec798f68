"""The state of a route's rollout, as frozen values. Pure.

Times are seconds since the epoch, by the store's clock (MongoDB's, which all replicas share). Shares are in basis
points: ten-thousandths of callers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from proxy.config.quantities import FULL, ZERO, show_share
from proxy.types import BasisPoints
from proxy.wording import ROLLOUT_EVENTS

if TYPE_CHECKING:
    from proxy.config.models import Route
    from proxy.rollout.analysis.window import WindowCounts

GUARD: Final = "guard"
"""Actors that are not persons."""
SCHEDULE: Final = "schedule"
FILE: Final = "routing.yaml"

Kind = Literal["start", "promotion", "gate", "pause", "resume", "cap", "rollback", "ack", "release", "share", "config"]
"""Kinds of changes. `start`, `promotion`, `gate`: a rollout starts, reaches its next stage, fails a gate. `pause`,
`resume`, `rollback`, `ack`: actions of a person. `cap`, `release`: the guard caps a share, a cap is released. `share`,
`config`: routing.yaml has another share, or changed otherwise."""
LABELS: Final = {**ROLLOUT_EVENTS, "share": "share changed in the file", "config": "configuration changed"}
"""Labels of the kinds."""
WaitReason = Literal[
    "cap", "completed", "paused", "file", "gate", "bake_time", "evidence", "approval", "window", "nothing"
]
"""Reasons why a rollout is not promoted: a cap; no further stage; paused by a person; the share in the file; a failing
gate; bake time; too little evidence; a person's approval; a closed window. `nothing`: it can be promoted."""
LimitedBy = Literal["file", "pin", "stage", "cap", "unread"]
"""Limits of the share in force."""
StateDocument: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attribution:
    """Actor, reason and time of a change."""

    actor: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Cap:
    """An upper limit of a share, in force until it is acknowledged and `until` has passed."""

    share: BasisPoints
    by: Attribution
    until: float
    acknowledged: Attribution | None = None

    @property
    def cooldown(self) -> float:
        """Its minimum duration in seconds; 0 for a person's cap, which may be lifted at any time."""
        return max(0.0, self.until - self.by.at)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the history. `before` and `after` are shares; `route` and `revision` are empty if none applies.

    `route` is the name of a group if a change applies to all its routes. `revision` is the route's, or for `config`
    the file's; `difference` is then a unified diff to the previous text, without secrets, and `routes` are the routes
    and groups whose settings it changes. `announced`: announced before it could be stored.
    """

    kind: Kind
    by: Attribution
    before: BasisPoints
    after: BasisPoints
    route: str = ""
    revision: str = ""
    difference: str = ""
    announced: bool = False
    routes: tuple[str, ...] = ()

    @property
    def movement(self) -> str:
        """Its shares in words: `from 25% to 10%`, or `at 10%` if the share stays."""
        if self.before == self.after:
            return f"at {show_share(self.after)}"
        return f"from {show_share(self.before)} to {show_share(self.after)}"


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """A query of the history; an empty value matches all entries.

    `route` is a route without a group, or a group. `until` (seconds since the epoch) is the latest time. Of the
    entries at exactly that time, the newest `skip` are omitted, so that the next page begins where the last one ended.
    """

    route: str = ""
    kind: str = ""
    actor: str = ""
    until: float | None = None
    skip: int = 0

    def matches(self, entry: AuditEntry) -> bool:
        """Return True if an entry matches; `skip` is ignored."""
        return (
            (not self.route or self.route in (entry.route, *entry.routes))
            and self.kind in ("", entry.kind)
            and self.actor in ("", entry.by.actor)
            and (self.until is None or entry.by.at <= self.until)
        )

    def after(self, shown: Sequence[AuditEntry]) -> HistoryQuery:
        """Return the query of the page that follows one with the entries `shown`, at least one."""
        last = shown[-1].by.at
        same = sum(entry.by.at == last for entry in shown)
        return replace(self, until=last, skip=same + (self.skip if last == self.until else 0))


ENTIRE_HISTORY: Final = HistoryQuery()


@dataclass(frozen=True, slots=True)
class AnnouncedConfig:
    """A routing.yaml in force: its revision, the shares it allows by route, and its text without secrets.

    `rollouts` are the routes that have one. `digests` are those of all settings of each group or single route.
    """

    revision: str = ""
    shares: Mapping[str, BasisPoints] = field(default_factory=dict)
    rollouts: tuple[str, ...] = ()
    text: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RouteState:
    """State of one revision of a route, or of a group of routes.

    `version` increases by one with each change; `change` is the latest. `stage` is the share that the rollout reached
    at `since` (None: not started, or no rollout). `passing` is the start of the current bake time; no gate has failed
    since. `missed` is the gate that failed last. `paused` is set while a person has paused the rollout.
    """

    key: str
    change: AuditEntry
    version: int = 1
    stage: BasisPoints | None = None
    since: float = 0.0
    passing: float = 0.0
    missed: Attribution | None = None
    paused: Attribution | None = None
    cap: Cap | None = None

    @property
    def epoch(self) -> str:
        """The id of the current bake time, by which evidence is counted."""
        return f"{self.key}#{self.passing:.3f}"

    def document(self) -> StateDocument:
        """Return the state as a document to store."""
        return {"_id": self.key, **{name: value for name, value in asdict(self).items() if name != "key"}}

    @classmethod
    def of(cls, document: StateDocument) -> RouteState:
        """Return the state of a stored document; unknown fields, written by a later release, are ignored."""
        values = _known(cls, document)
        for name in ("missed", "paused"):
            values[name] = _attribution(values[name])
        if values["cap"] is not None:
            cap = values["cap"]
            values["cap"] = Cap(cap["share"], Attribution(**cap["by"]), cap["until"], _attribution(cap["acknowledged"]))
        values["change"] = change_of(values["change"])
        return cls(key=document["_id"], **values)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Counts of all replicas during a bake time.

    Requests of both backends with their errors (statuses of 400 and above), and shadow comparisons with mismatches.
    If callers are known, errors of one caller within a few seconds count once.
    """

    native: int = 0
    native_errors: int = 0
    legacy: int = 0
    legacy_errors: int = 0
    compared: int = 0
    differing: int = 0

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(
            self.native + other.native,
            self.native_errors + other.native_errors,
            self.legacy + other.legacy,
            self.legacy_errors + other.legacy_errors,
            self.compared + other.compared,
            self.differing + other.differing,
        )

    @classmethod
    def of(cls, counts: WindowCounts) -> Evidence:
        """Return the counts of a window or of one of its slices."""
        native, legacy = counts.native, counts.legacy
        errors = native.distinct_errors, legacy.distinct_errors
        return cls(native.requests, errors[0], legacy.requests, errors[1], counts.compared, counts.differing)


def change_of(document: StateDocument) -> AuditEntry:
    """Return the change of a stored document."""
    by = Attribution(**document["by"])
    routes = tuple(document.get("routes", ()))
    return AuditEntry(**{**_known(AuditEntry, document), "by": by, "routes": routes})


def state_key(route: Route) -> str:
    """Return the key of a route's state, shared by its group. Each `revision` has its own state."""
    return _with_revision(route.domain, route)


def stats_key(route: Route) -> str:
    """Return the key of data stored for one route alone."""
    return _with_revision(route.name, route)


def ceiling(route: Route) -> BasisPoints:
    """Return native's maximum share according to the file, in basis points."""
    return route.native if route.pin is None else (FULL if route.pin == "native" else ZERO)


def _with_revision(name: str, route: Route) -> str:
    return f"{name}@{route.revision}" if route.revision is not None else name


def _known(of: type[RouteState] | type[AuditEntry], document: StateDocument) -> StateDocument:
    names = {field.name for field in fields(of)}
    return {name: value for name, value in document.items() if name in names}


def _attribution(document: StateDocument | None) -> Attribution | None:
    return Attribution(**document) if document is not None else None
