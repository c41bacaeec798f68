"""What the reports show: plain values for pages, the command line and JSON. Pure.

Everything here is redacted (`redaction.py`): names of fields that no contract knows are `~` and a digest, values are
trees of types, lengths and digests. Times are seconds since the epoch (UTC); counts are of comparisons unless it says
otherwise. A `Tree` tells of one value:

    {"type": "string", "length": 4, "digest": "bcdf…"}      any text, number, id, date or token
    {"type": "boolean"}, {"type": "null"}                   nothing more is told
    {"type": "string", "value": "active"}                   where the contract says `x-report: show`; also statuses
    {"type": "object", "length": 2, "fields": [["name", Tree], …]}
    {"type": "array", "length": 2, "items": [Tree, …]}
    {"type": "object", "length": 90, "cut": true}           deeper or longer than is told; lists may also end early

`type` is JSON's (`integer` and `number` apart), or `binary`, or the kind of what stands in a text: `id`, `date`,
`token`, `hash`, `stamp`, `epoch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from proxy.comparison.correspondence import Kind
from proxy.comparison.verdicts import Name, Reason, Severity
from proxy.types import JSON, Backend

FieldKind: TypeAlias = Kind | Literal["violation"]
"""A difference's kind, or that a side breaks the contract there."""
Tree: TypeAlias = Mapping[str, JSON]
StatusClass = Literal["1xx", "2xx", "3xx", "4xx", "5xx"]

MINUTE, HOUR, DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class Span:
    """What is looked at: from `since` until before `until`, in seconds since the epoch.

    Counters are kept by minute for two hours and by hour for as long as reports are kept, so a span that began within
    the last two hours is told to the minute, any other to the hour: the slices at its ends count as a whole.
    """

    since: float
    until: float


@dataclass(frozen=True, slots=True)
class TimeSlice:
    """A slice of a trend: `seconds` long (a minute or an hour), begun at `at`."""

    at: float
    seconds: int
    match: int = 0
    declared: int = 0
    mismatch: int = 0
    violation: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class RouteSummary:
    """One route, or what matched none (`-`).

    `requests` are those served, by side; `statuses` the same by side and class of status. `replays` are safe reads
    that legacy was asked twice (see `FieldSummary.noise`), `noisy` those of them that differed. `dropped` were compared
    but are in none of the other numbers, since MongoDB was away or slow.
    """

    route: str
    match: int = 0
    declared: int = 0
    mismatch: int = 0
    violation: int = 0
    skipped: Mapping[Reason, int] = field(default_factory=dict)
    requests: Mapping[Backend, int] = field(default_factory=dict)
    statuses: Mapping[Backend, Mapping[StatusClass, int]] = field(default_factory=dict)
    replays: int = 0
    noisy: int = 0
    dropped: int = 0
    trend: tuple[TimeSlice, ...] = ()

    @property
    def compared(self) -> int:
        """Comparisons that came to a verdict."""
        return self.match + self.declared + self.mismatch + self.violation

    @property
    def different(self) -> float | None:
        """The share (0 to 1) of `compared` that no divergence explains or that breaks the contract; None of none."""
        return (self.mismatch + self.violation) / self.compared if self.compared else None


@dataclass(frozen=True, slots=True)
class FieldSummary:
    """One place on a route where the sides differ in one way. `field` is as in `Difference.field`.

    `count` are the comparisons in which it differed, `declared` those of them where a divergence explained it: what is
    left is `unexplained`. Of `replays` (legacy asked twice on this route), `noise` differed here on their own: what
    legacy does not repeat itself. `first` and `last` are when it was seen within the span, to a second at most.
    `field` is `…` for all that came after a route had shown more different places than are told apart. `operations`
    are the ids of the contract's operations in which it was seen.
    """

    route: str
    field: str
    kind: Kind
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
        """Comparisons in which no divergence explained it."""
        return self.count - self.declared


@dataclass(frozen=True, slots=True)
class StoredValue:
    """What stands at one place of one side. `place` is exact (`body.notes.0.~bcdf`), as one walks through a `Tree`."""

    place: str
    value: Tree


@dataclass(frozen=True, slots=True)
class StoredDifference:
    """One difference of a sample. `declared`: a divergence explains it. `noise`: legacy alone differs here, too."""

    field: str
    kind: Kind
    severity: Severity
    declared: bool
    noise: bool
    legacy: StoredValue | None
    native: StoredValue | None


@dataclass(frozen=True, slots=True)
class StoredViolation:
    """One breach of the contract in a sample: `field` as in differences, `rule` the schema's keyword."""

    backend: Backend
    field: str
    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class StoredBody:
    """A body. `form` is `json`, `form`, `multipart`, `text`, `html`, `binary`, `none`, or `truncated` where it was too
    long to be kept. `length` is in bytes, as they passed."""

    form: str
    length: int
    content: Tree | None


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request. `template` is the contract's path, `path` the one that was sent. Header names are in lower case."""

    method: str
    template: str | None
    path: Tree
    query: Tree | None
    headers: tuple[tuple[str, Tree], ...]
    body: StoredBody


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer. `outcome` as in `Exchange`; `status` 0 where none began. `head` and `total` in milliseconds."""

    outcome: str
    status: int
    headers: tuple[tuple[str, Tree], ...]
    body: StoredBody
    head: float
    total: float


@dataclass(frozen=True, slots=True)
class StoredWrite:
    """What the dry run of a write would have put into a collection; `content` has `document`, `filter`, `update`."""

    collection: str
    operation: str
    content: Tree


@dataclass(frozen=True, slots=True)
class SampleHead:
    """A sample as a list shows it. `statuses` are legacy's and native's, 0 where no answer began.

    `fields` are the first of its differences and breaches, as pairs of field and kind.
    """

    id: str
    route: str
    operation: str | None
    verdict: Name
    served: Backend
    at: float
    statuses: tuple[int, int]
    fields: tuple[tuple[str, FieldKind], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One comparison in full, redacted.

    `declared` are ids of divergences, `hidden` fields in which an `ignore` hid a difference; `wrote` is None unless it
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
    breaches: tuple[StoredViolation, ...]
    declared: tuple[str, ...]
    hidden: tuple[str, ...]
    wrote: tuple[StoredWrite, ...] | None


@dataclass(frozen=True, slots=True)
class DivergenceSummary:
    """A divergence that is declared, and in how many comparisons it was seen: none, with no `first` and `last`.

    `stale`: seen, but no longer in divergences.yaml; then only `id` says anything of it.
    """

    id: str
    operation: str
    legacy: str
    native: str
    reason: str
    since: str
    seen: int
    first: float | None
    last: float | None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Drift:
    """A rule of the contract that answers of one side break. `rule` is the schema's keyword, `path` in dots."""

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
    """What live traffic has shown of an operation: legacy's answers that were compared, by status and media type.

    `operation` is the contract's id, None where no operation takes the request. `status` is a status, or `hang` or
    `reset` where no answer came. `media` is None where there was none, `other` where neither the contract nor the
    registry of media types has it.
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
    """How the keeping of reports itself does. `dropped` were counted nowhere else; `since` is the oldest kept."""

    dropped: int
    oldest: float | None
