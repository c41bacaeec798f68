"""What a page is about, as its URL says: which times, which verdict. Pure.

?last=24h                                     the time up to now: 1h, 24h, 7d, 30d
?from=2026-11-22T14:00Z&until=…               one that stays the same when a colleague opens it tomorrow
?verdict=mismatch                             what came of the comparisons
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, get_args
from urllib.parse import quote, urlencode

from proxy.comparison.verdicts import Name
from proxy.ops.formatting import iso, moment
from proxy.reports.models import Span

LAST: Final[dict[str, float]] = {"1h": 3600.0, "24h": 86_400.0, "7d": 7 * 86_400.0, "30d": 30 * 86_400.0}
USUAL: Final = "24h"
VERDICTS: Final[tuple[Name, ...]] = get_args(Name)


class FilterError(ValueError):
    """A URL that asks for what cannot be; the text is for a person."""


@dataclass(frozen=True, slots=True)
class Filters:
    """`last` is the name of a time up to now, None where the URL gives its own ends."""

    span: Span
    last: str | None = USUAL
    verdict: Name | None = None

    @classmethod
    def of(cls, query: Mapping[str, str], now: float) -> Filters:
        """What a query asks for. Raises FilterError. Unknown names in it are no business of this."""
        verdict = query.get("verdict") or None
        if verdict is not None and verdict not in VERDICTS:
            raise FilterError(f"verdict: one of {', '.join(VERDICTS)}")
        known: Name | None = next((name for name in VERDICTS if name == verdict), None)
        if query.get("from"):
            return cls(_between(query["from"], query.get("until") or iso(now)), None, known)
        last = query.get("last") or USUAL
        if last not in LAST:
            raise FilterError(f"last: one of {', '.join(LAST)}")
        return cls(Span(now - LAST[last], now), last, known)

    @property
    def words(self) -> str:
        """The time, for a heading."""
        if self.last is not None:
            return _WORDS[self.last]
        return f"{moment(self.span.since)} to {moment(self.span.until)}"

    def link(self, path: str, **changes: str | None) -> str:
        """A path with these filters, but for the changes; `from_` stands for `from`, None takes one away."""
        query: dict[str, str | None] = {"verdict": self.verdict}
        if self.last is None:
            query |= {"from": iso(self.span.since), "until": iso(self.span.until)}
        elif self.last != USUAL:
            query["last"] = self.last
        query |= {name.rstrip("_"): value for name, value in changes.items()}
        if changes.get("last"):
            query |= {"from": None, "until": None}
        given = {name: value for name, value in query.items() if value}
        return quote(path) + (f"?{urlencode(given, safe=':')}" if given else "")

    def fixed(self, path: str, **changes: str | None) -> str:
        """The same with both ends of the time named, so that it shows the same tomorrow."""
        ends = {"last": None, "from_": iso(self.span.since), "until": iso(self.span.until)}
        return self.link(path, **ends, **changes)


_WORDS: Final = {"1h": "the last hour", "24h": "the last 24 hours", "7d": "the last 7 days", "30d": "the last 30 days"}


def _between(since: str, until: str) -> Span:
    span = Span(_seconds("from", since), _seconds("until", until))
    if span.until <= span.since:
        raise FilterError("until: must be after from")
    return span


def _seconds(name: str, text: str) -> float:
    """A moment as ISO 8601 has it; UTC where it does not say."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise FilterError(f"{name}: a moment, as in 2026-11-22T14:00Z") from None
