"""The values of reports, for pages, the command line and JSON. Pure.

All of them are redacted (`redaction.py`): names of fields that no contract knows are `~` and a digest, and values are
trees of types, lengths and digests. Times are seconds since the epoch (UTC); counts are of comparisons unless stated
otherwise. A `Tree` describes one value:

    {"type": "string", "length": 4, "digest": "bcdf…"}      any text, number, id, date or token
    {"type": "boolean"}, {"type": "null"}                   without a digest
    {"type": "string", "value": "active"}                   if the contract says `x-report: show`; also statuses
    {"type": "object", "length": 2, "fields": [["name", Tree], …]}
    {"type": "array", "length": 2, "items": [Tree, …]}
    {"type": "object", "length": 90, "cut": true}           beyond the limits; lists may also end early

`type` is JSON's (`integer` and `number` apart), or `binary`, or the kind of volatile text: `id`, `date`,
`token`, `hash`, `stamp`, `epoch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from proxy.comparison.verdicts import Name, Reason, Severity
from proxy.types import JSON, Backend, DifferenceKind
from proxy.wording import counted

FieldKind: TypeAlias = DifferenceKind | Literal["violation"]
"""A difference's kind, or a violation of the contract."""
Tree: TypeAlias = Mapping[str, JSON]
StatusClass = Literal["1xx", "2xx", "3xx", "4xx", "5xx"]

MINUTE, HOUR, DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class Span:
    """A time range: from `since` until before `until`, in seconds since the epoch.

    Counters exist by minute for two hours and by hour for the retention of the reports. A span that begins within the
    last two hours is read to the minute, any other to the hour. The slices at its ends count as a whole.
    """

    since: float
    until: float


class VerdictCounts:
    """Numbers of comparisons by verdict.

    `mismatch`: those with undeclared differences. `violation`: those in which an answer violates the contract. `both`:
    those that count as both.
    """

    __slots__ = ()

    match: int
    declared: int
    mismatch: int
    violation: int
    both: int

    @property
    def compared(self) -> int:
        """Return the number of comparisons with a verdict."""
        return self.match + self.declared + self.failed

    @property
    def failed(self) -> int:
        """Return the number of comparisons that are a mismatch, a violation, or both."""
        return self.mismatch + self.violation - self.both

    @property
    def failures(self) -> str:
        """Return both numbers in words, as `3 mismatches and 1 violation (1 both)`."""
        both = f" ({self.both:,} both)" if self.both else ""
        return f"{counted(self.mismatch, 'mismatch', ',')} and {counted(self.violation, 'violation', ',')}{both}"


@dataclass(frozen=True, slots=True)
class TimeSlice(VerdictCounts):
    """A slice of a trend: `seconds` long (a minute, an hour or a day), beginning at `at`."""

    at: float
    seconds: int
    match: int = 0
    declared: int = 0
    mismatch: int = 0
    violation: int = 0
    both: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class RouteSummary(VerdictCounts):
    """One route, or the requests that matched no route (`-`).

    `requests`: served requests by backend. `statuses`: the same by backend and class of status. `replays`: safe reads
    that were sent to legacy twice (see `FieldSummary.noise`). `noisy`: those of them that differed. `dropped`:
    comparisons that are missing from the other numbers, because MongoDB was unavailable or slow.
    """

    route: str
    match: int = 0
    declared: int = 0
    mismatch: int = 0
    violation: int = 0
    both: int = 0
    skipped: Mapping[Reason, int] = field(default_factory=dict)
    requests: Mapping[Backend, int] = field(default_factory=dict)
    statuses: Mapping[Backend, Mapping[StatusClass, int]] = field(default_factory=dict)
    replays: int = 0
    noisy: int = 0
    dropped: int = 0
    trend: tuple[TimeSlice, ...] = ()

    @property
    def different(self) -> float | None:
        """Return the share (0 to 1) of `compared` that are mismatches or violations; None without a comparison."""
        return self.failed / self.compared if self.compared else None


@dataclass(frozen=True, slots=True)
class RevisionSummary(VerdictCounts):
    """The comparisons of one revision of native; `revision` is None if it was not known.

    `first` and `last` are the times of its first and last comparison within the span.
    """

    revision: str | None
    match: int
    declared: int
    mismatch: int
    violation: int
    both: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class RevisionCount:
    """The number of observations of a difference in one revision of native, with the first and the last time."""

    count: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class FieldSummary:
    """One field of a route in which the backends differ in one way. `field` is as in `Difference.field`.

    `count` is the number of comparisons in which it differed, `declared` those of them that a divergence explains; the
    rest is `unexplained`. `replays` are the route's requests that were sent to legacy twice, `noise` those of them in
    which legacy's own answers differed in this field. `first` and `last` are the times of the first and the last
    difference within the span. `field` is `…` for all fields beyond the limit of a route. `operations` are the ids of
    the contract's operations in which it differed.
    """

    route: str
    field: str
    kind: DifferenceKind
    severity: Severity
    count: int
    declared: int
    noise: int
    replays: int
    first: float
    last: float
    operations: tuple[str, ...] = ()

    @property
    def unexplained(self) -> int:
        """Return the number of comparisons in which no divergence explains it."""
        return self.count - self.declared


@dataclass(frozen=True, slots=True)
class StoredValue:
    """One backend's value at an exact path (`body.notes.0.~bcdf`), in the steps of a `Tree`."""

    path: str
    value: Tree


@dataclass(frozen=True, slots=True)
class StoredDifference:
    """One difference of a sample. `declared`: a divergence explains it. `noise`: legacy's own answers differ in it."""

    field: str
    kind: DifferenceKind
    severity: Severity
    declared: bool
    noise: bool
    legacy: StoredValue | None
    native: StoredValue | None


@dataclass(frozen=True, slots=True)
class StoredViolation:
    """One violation of the contract in a sample: `field` as in differences, `rule` the schema's keyword."""

    backend: Backend
    field: str
    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class StoredBody:
    """A body. `length` is in bytes as transferred.

    `form` is `json`, `form`, `multipart`, `text`, `html`, `binary`, `none`, `frames` for the messages of a WebSocket,
    or `truncated` if it was over the limit.
    """

    form: str
    length: int
    content: Tree | None


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request. `template`: the contract's path. `path`: the request's own. Header names are in lower case."""

    method: str
    template: str | None
    path: Tree
    query: Tree | None
    headers: tuple[tuple[str, Tree], ...]
    body: StoredBody


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer. `outcome`: as in `Exchange`. `status`: 0 if no answer began. `head`, `total`: milliseconds."""

    outcome: str
    status: int
    headers: tuple[tuple[str, Tree], ...]
    body: StoredBody
    head: float
    total: float


@dataclass(frozen=True, slots=True)
class StoredWrite:
    """A write that a dry run would have made; `content` has `document`, `filter`, `update`."""

    collection: str
    operation: str
    content: Tree


@dataclass(frozen=True, slots=True)
class SampleHead:
    """A sample as a list shows it. `statuses` are legacy's and native's; 0 if no answer began.

    `fields` are its first differences and violations, as pairs of field and kind. A `pinned` sample remains until it
    is unpinned. `revision` is that of native, if known.
    """

    id: str
    route: str
    operation: str | None
    verdict: Name
    served: Backend
    at: float
    statuses: tuple[int, int]
    fields: tuple[tuple[str, FieldKind], ...]
    pinned: bool = False
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One comparison in full, redacted by the mode `redaction`.

    `reproduction` is a step of a recording: the request and legacy's answer with anonymised values in all modes; None
    if they cannot be anonymised.

    `declared` are ids of divergences, `hidden` fields in which an `ignore` hid a difference; `writes` is None unless it
    was a dry run.
    """

    id: str
    route: str
    operation: str | None
    verdict: Name
    served: Backend
    at: float
    request: StoredRequest
    legacy: StoredAnswer
    native: StoredAnswer
    differences: tuple[StoredDifference, ...]
    violations: tuple[StoredViolation, ...]
    declared: tuple[str, ...]
    hidden: tuple[str, ...]
    writes: tuple[StoredWrite, ...] | None
    pinned: bool = False
    revision: str | None = None
    redaction: Literal["full", "values", "off"] = "full"
    reproduction: Mapping[str, JSON] | None = None


@dataclass(frozen=True, slots=True)
class DivergenceSummary:
    """A declared divergence and the number of comparisons that it explained (none: `first` and `last` are None).

    `stale`: observed, but no longer in divergences.yaml; then all texts but `id` are empty.
    """

    id: str
    operation: str
    legacy: str
    native: str
    reason: str
    since: str
    count: int
    first: float | None
    last: float | None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Drift:
    """A rule of the contract that answers of one backend violate. `rule` is the schema's keyword, `path` in dots."""

    route: str
    operation: str | None
    backend: Backend
    path: str
    rule: str
    message: str
    count: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class ReportCoverage:
    """Legacy's compared answers of one operation, status and media type.

    `operation`: the contract's id, None if no operation matches the request. `status`: a status, or `hang` or `reset`
    if no answer came. `media`: None if there was none, `other` if neither the contract nor the registry of media types
    has it.
    """

    route: str
    operation: str | None
    status: str
    media: str | None
    count: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class ReportHealth:
    """The state of the reports: comparisons that were dropped, and the time of the oldest report."""

    dropped: int
    oldest: float | None
