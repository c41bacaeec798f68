"""Times of reports, which are seconds since the epoch, as MongoDB and people read them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def date_of(seconds: float) -> datetime:
    """Return a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def iso(seconds: float) -> str:
    """Return a time to the second as ISO 8601 has it: `2026-11-28T14:05:09+00:00`."""
    return date_of(seconds).isoformat(timespec="seconds")
