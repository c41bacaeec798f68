"""Durations, moments and shares on the command line, written as in routing.yaml."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import click

from proxy.config.field_types import FULL, read_duration, read_share


class DurationParam(click.ParamType[float]):
    """`30s`, `10m`, `24h`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return read_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class TimeParam(click.ParamType[float]):
    """A duration until now, or a moment as ISO 8601 has it (UTC where it does not say); in seconds since the epoch."""

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
            self.fail("a duration as in 24h, or a moment as in 2026-11-22T14:00Z", param, ctx)


class ShareParam(click.ParamType[float]):
    """`0.1%` as a number between 0 and 1."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return value if isinstance(value, float) else read_share(value) / FULL
        except ValueError as error:
            self.fail(str(error), param, ctx)
