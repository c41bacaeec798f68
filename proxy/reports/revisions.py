"""Determine the revision of native that a comparison belongs to, and compare revisions. Pure.

It is the `revision` of the route, or else IMAGE_REVISION of the environment, which the image sets to its commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from proxy.config.models import Config
from proxy.reports.models import FieldSummary, RevisionCount, RevisionSummary

IMAGE_REVISION: Final = "IMAGE_REVISION"
MAX_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class Revisions:
    """The revision of each route: its own, or that of the image; None if neither is set."""

    image: str | None = None
    routes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config, environment: Mapping[str, str]) -> Revisions:
        """Return the revisions of a configuration."""
        image = environment.get(IMAGE_REVISION, "").strip()[:MAX_LENGTH] or None
        return cls(image, {route.name: route.revision for route in config.routes if route.revision is not None})

    def of_route(self, route: str) -> str | None:
        """Return the revision of a route."""
        return self.routes.get(route, self.image)


NO_REVISIONS: Final = Revisions()


@dataclass(frozen=True, slots=True)
class RevisionLine:
    """One revision of native on a route: its comparisons, and those in which a difference was observed (`count`)."""

    revision: str | None
    compared: int
    count: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class GoneSince:
    """The first revision without a difference that earlier ones had, and the comparisons since then."""

    revision: str | None
    compared: int


def revision_lines(
    revisions: Sequence[RevisionSummary], counts: Mapping[str | None, RevisionCount]
) -> tuple[RevisionLine, ...]:
    """Return the revisions of a route in order, with the observations of one difference."""
    return tuple(
        RevisionLine(one.revision, one.compared, counts[one.revision].count, one.first, one.last)
        if one.revision in counts
        else RevisionLine(one.revision, one.compared, 0, one.first, one.last)
        for one in revisions
    )


def gone_since(lines: Sequence[RevisionLine]) -> GoneSince | None:
    """Return the revision since which a difference is gone; None if the newest has it, or none had it."""
    after = max((index for index, line in enumerate(lines) if line.count), default=None)
    later = lines[after + 1 :] if after is not None else ()
    compared = sum(line.compared for line in later)
    return GoneSince(later[0].revision, compared) if compared else None


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A difference before and after a release; counts are of unexplained ones.

    `change` is `new`, `gone`, `more` or `less` by the rate of comparisons, or `same`.
    """

    field: str
    kind: str
    before: int
    after: int
    change: Literal["new", "gone", "more", "less", "same"]


@dataclass(frozen=True, slots=True)
class ReleaseComparison:
    """Two revisions of native on a route: comparisons of each, and the differences of both, new ones first."""

    before: RevisionSummary
    after: RevisionSummary
    fields: tuple[FieldChange, ...]


def compare_releases(
    before: RevisionSummary,
    after: RevisionSummary,
    fields_before: Sequence[FieldSummary],
    fields_after: Sequence[FieldSummary],
) -> ReleaseComparison:
    """Return how the unexplained differences of a route changed from one revision to another."""
    counts_before = {(one.field, one.kind): one.unexplained for one in fields_before if one.unexplained}
    counts_after = {(one.field, one.kind): one.unexplained for one in fields_after if one.unexplained}
    changes = [
        FieldChange(
            *key,
            counts_before.get(key, 0),
            counts_after.get(key, 0),
            _change(counts_before.get(key, 0), before.compared, counts_after.get(key, 0), after.compared),
        )
        for key in {**counts_before, **counts_after}
    ]
    changes.sort(key=lambda one: (_CHANGES.index(one.change), -one.after, -one.before, one.field, one.kind))
    return ReleaseComparison(before, after, tuple(changes))


_CHANGES: Final = ("new", "more", "same", "less", "gone")
_NOTABLE: Final = 1.5
"""Ratio of two rates from which a difference counts as more, or less, frequent."""


def _change(
    before: int, compared_before: int, after: int, compared_after: int
) -> Literal["new", "gone", "more", "less", "same"]:
    if not before:
        return "new"
    if not after:
        return "gone" if compared_after else "same"
    ratio = (after / max(1, compared_after)) / (before / max(1, compared_before))
    return "more" if ratio > _NOTABLE else "less" if ratio < 1 / _NOTABLE else "same"
