"""Convert times of reports (seconds since the epoch) to forms for MongoDB and for people. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def date_of(seconds: float) -> datetime:
    """Return a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def iso(seconds: float) -> str:
    """Return a time in ISO 8601, to the second: `2026-11-28T14:05:09+00:00`."""
    return date_of(seconds).isoformat(timespec="seconds")
