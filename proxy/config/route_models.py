"""Sections of routing.yaml that a route, a group of routes, or `defaults` may have.

Shares are in basis points, durations in seconds.
"""

import re
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from proxy.config.field_types import (
    ZERO,
    Count,
    Duration,
    PositiveShare,
    Ratio,
    Share,
    Switch,
    Text,
    read_positive_share,
    show_share,
)
from proxy.config.parsed_by import BuiltWhenUsed, ParsedBy
from proxy.config.promotion_window import PromotionWindow
from proxy.config.section import HashableDict, Section, section_default
from proxy.config.targets import TargetMap, Targets, contradiction
from proxy.types import Backend, BasisPoints

_Item = TypeVar("_Item")
_OFF: Final = frozenset({"off", "false", "no"})
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


def read_name(value: object) -> str:
    """Validate the name of a route or group, which appears in logs, metrics and reports. Raises ValueError."""
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise ValueError("must be 1 to 64 letters, digits, `.`, `_` or `-`, as in notes.create")


def _not_empty(items: tuple[_Item, ...]) -> tuple[_Item, ...]:
    if not items:
        raise ValueError("must hold at least one item")
    return items


def none_if_off(value: object) -> object:
    """Return None for `off`, which removes an inherited setting."""
    return None if isinstance(value, str) and value.strip().lower() in _OFF else value


Name = Annotated[str, ParsedBy(read_name)]
NotEmpty = AfterValidator(_not_empty)


class RouteTimeouts(Section):
    """Legacy's timeouts that a route overrides."""

    connect: Duration | None = None
    response: Duration | None = None
    idle: Duration | None = None


class ShareSection(Section):
    """A share with settings. The share may be written without a mapping."""

    share: Share = ZERO

    @model_validator(mode="before")
    @classmethod
    def _share_alone(cls, data: Any) -> Any:
        return {"share": data} if isinstance(data, str | int) else data


class NativeTraffic(ShareSection):
    """The callers that native answers: a share of all callers, plus those included, minus those excluded."""

    include: TargetMap = Field(default=Targets())
    exclude: TargetMap = Field(default=Targets())

    @property
    def has_targets(self) -> bool:
        """True if targets include or exclude callers regardless of the share."""
        return bool(self.include or self.exclude)

    @model_validator(mode="after")
    def _without_contradiction(self) -> Self:
        conflict = contradiction(self.include, self.exclude)
        if conflict is not None:
            raise ValueError(f"targets contradict each other: {conflict}")
        return self


class RouteShadow(ShareSection):
    """The share of callers whose requests also run on the other backend."""

    writes: Literal["never", "dry_run"] = "never"


class Guard(Section):
    """Limits of native's failures in a sliding window, and the action when they are exceeded."""

    error_rate: Share = BasisPoints(500)
    server_errors: Share = BasisPoints(100)
    latency: Ratio = 2.0
    mismatch: Share | None = None
    max_dependency_failures: Share = BasisPoints(5000)
    window: Duration = 60.0
    minimum: Count = 50
    min_callers: Count = 3
    on_failure: Literal["zero", "previous"] = "zero"
    cooldown: Duration = 600.0


class Gates(Section):
    """Conditions for promotion to the next stage."""

    mismatch: Share = BasisPoints(10)
    errors: Share = BasisPoints(10)


class Stage(Section):
    """One stage of a rollout. `bake_time` defaults to the rollout's."""

    share: PositiveShare
    bake_time: Duration | None = None


def read_stage(value: object) -> object:
    """Read a stage written as a share or as a mapping. Raises ValueError."""
    return value if isinstance(value, dict | Stage) else Stage(share=read_positive_share(value))


class Schedule(Section):
    """The stages of a rollout. Each lasts until its gates have held for its bake time.

    `minimum`: native requests, and shadow comparisons if there are any, that a gate needs. `start_at`: the stage at
    which the rollout starts, by default the first. `window`: the times at which the rollout starts and is promoted.
    """

    steps: Annotated[tuple[Annotated[Stage, BeforeValidator(read_stage)], ...], NotEmpty] = Field(alias="stages")
    start_at: PositiveShare | None = None
    bake_time: Duration = 7 * 86_400.0
    gates: Gates = section_default(Gates)
    minimum: Count = 100
    approve: Switch = False
    window: Annotated[PromotionWindow, BuiltWhenUsed()] | None = None

    @field_validator("steps")
    @classmethod
    def _ascending(cls, steps: tuple[Stage, ...]) -> tuple[Stage, ...]:
        for before, after in pairwise(step.share for step in steps):
            if after <= before:
                raise ValueError(f"stages must go up: {show_share(after)} comes after {show_share(before)}")
        return steps

    @field_validator("start_at")
    @classmethod
    def _one_of_the_stages(cls, start: BasisPoints | None, info: ValidationInfo) -> BasisPoints | None:
        stages = [step.share for step in info.data.get("steps", ())]
        if start is not None and stages and start not in stages:
            raise ValueError(f"must be one of the stages: {', '.join(map(show_share, stages))}")
        return start

    @property
    def stages(self) -> tuple[BasisPoints, ...]:
        """The shares of the stages, in basis points."""
        return tuple(step.share for step in self.steps)

    @property
    def first(self) -> BasisPoints:
        """The share of the stage at which the rollout starts."""
        return self.start_at if self.start_at is not None else self.steps[0].share

    def continuing(self, running: BasisPoints) -> BasisPoints | None:
        """Return the stage at which a rollout continues when it is added to a route with a running share.

        It is the highest stage not above that share. Return None with `start_at`, or if the share is below the first
        stage.
        """
        stages = self.stages if self.start_at is None else ()
        return max((stage for stage in stages if stage <= running), default=None)

    def bake_time_of(self, stage: BasisPoints) -> float:
        """Return the bake time of a stage, in seconds."""
        own = next((step.bake_time for step in self.steps if step.share == stage), None)
        return own if own is not None else self.bake_time


class RouteDefaults(Section):
    """Settings of all routes, each of which a group or a route may override.

    A setting that is given as None (`guard: off`) removes an inherited one.
    """

    native: NativeTraffic | None = None
    shadow: RouteShadow | None = None
    guard: Annotated[Guard, BuiltWhenUsed()] | None = None
    rollout: Annotated[Schedule, BuiltWhenUsed()] | None = None
    timeouts: Annotated[RouteTimeouts, BuiltWhenUsed()] | None = None
    on_legacy_down: Literal["native", "fail"] | None = None
    on_native_error: Literal["legacy", "fail"] | None = None

    _switchable = field_validator("guard", "rollout", mode="before")(none_if_off)


class GroupSettings(RouteDefaults):
    """Settings of all routes of a group."""

    pin: Backend | None = None
    revision: Text | None = None


class Groups(HashableDict[str, GroupSettings]):
    """Settings by group name."""
