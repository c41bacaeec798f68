"""Parameter types for durations, times and shares, in the notation of routing.yaml."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import click

from proxy.config.field_types import read_duration, read_share
from proxy.types import BasisPoints


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


class ShareParam(click.ParamType[BasisPoints]):
    """A percentage such as `0.1%`, in basis points."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> BasisPoints:
        try:
            return read_share(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
