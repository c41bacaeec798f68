"""Read the filters of a page from its URL: the time span and the verdict. Pure.

?last=24h                                     the time up to now: 1h, 24h, 7d, 30d
?from=2026-11-22T14:00Z&until=…               a fixed span, for a permalink
?verdict=mismatch                             comparisons with this verdict
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
    """The URL has an invalid filter; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters. `last`: the name of a span up to now; None if the URL gives both ends."""

    span: Span
    last: str | None = USUAL
    verdict: Name | None = None

    @classmethod
    def of(cls, query: Mapping[str, str], now: float) -> Filters:
        """Return the filters of a query; unknown parameters are ignored. Raises FilterError."""
        verdict = query.get("verdict") or None
        if verdict is not None and verdict not in VERDICTS:
            raise FilterError(f"verdict: must be one of {', '.join(VERDICTS)}")
        known: Name | None = next((name for name in VERDICTS if name == verdict), None)
        if query.get("from"):
            return cls(_between(query["from"], query.get("until") or iso(now)), None, known)
        last = query.get("last") or USUAL
        if last not in LAST:
            raise FilterError(f"last: must be one of {', '.join(LAST)}")
        return cls(Span(now - LAST[last], now), last, known)

    @property
    def words(self) -> str:
        """The span in words, for a heading."""
        if self.last is not None:
            return _WORDS[self.last]
        return f"{moment(self.span.since)} to {moment(self.span.until)}"

    def link(self, path: str, **changes: str | None) -> str:
        """Return a path with these filters and the given changes; `from_` is `from`, None removes a filter."""
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
        """Return the permalink of a path, with both ends of the span."""
        ends = {"last": None, "from_": iso(self.span.since), "until": iso(self.span.until)}
        return self.link(path, **ends, **changes)


_WORDS: Final = {"1h": "the last hour", "24h": "the last 24 hours", "7d": "the last 7 days", "30d": "the last 30 days"}


def _between(since: str, until: str) -> Span:
    span = Span(_seconds("from", since), _seconds("until", until))
    if span.until <= span.since:
        raise FilterError("until: must be after from")
    return span


def _seconds(name: str, text: str) -> float:
    """Parse an ISO 8601 time; UTC if it has no offset."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise FilterError(f"{name}: must be an ISO 8601 time, as in 2026-11-22T14:00Z") from None
