"""Parameter types for durations, times and shares, in the notation of routing.yaml."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import click

from proxy.config.field_types import FULL, read_duration, read_share


class DurationParam(click.ParamType[float]):
    """A duration such as `30s`, `10m` or `24h`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return read_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class TimeParam(click.ParamType[float]):
    """A duration before now, or an ISO 8601 time (UTC without an offset), in seconds since the epoch."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return time.time() - read_duration(value)
        except ValueError:
            pass
        try:
            at = datetime.fromisoformat(value)
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            self.fail("must be a duration as in 24h, or a time as in 2026-11-22T14:00Z", param, ctx)


class ShareParam(click.ParamType[float]):
    """A percentage such as `0.1%`, as a number from 0 to 1."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return value if isinstance(value, float) else read_share(value) / FULL
        except ValueError as error:
            self.fail(str(error), param, ctx)
