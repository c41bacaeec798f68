"""Rules for targets: claims need a secret to verify tokens, and a target must have an effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from proxy.config.field_types import FULL, show_share
from proxy.config.key_sources import KeySource
from proxy.config.models import Route
from proxy.config.problems import Problem
from proxy.config.rules import Locate, Placed
from proxy.config.targets import TargetValues


def problems(routes: Sequence[Placed], *, verifies: bool, locate: Locate) -> Iterator[Problem]:
    """Yield problems of targets by claim without a secret. `verifies`: the file has a secret for tokens."""
    for index, route in routes:
        for key, targets in _both(route):
            claims = [str(source) for source in targets if source.kind == "jwt"]
            if claims and not verifies:
                message = f"{claims[0]} needs `tokens.secret`: claims are read from verified tokens only"
                yield locate(message, "routes", index, "native", key, claims[0])


def notes(routes: Sequence[Placed], keys: Sequence[KeySource], *, verifies: bool, locate: Locate) -> Iterator[Problem]:
    """Yield warnings about targets without effect, and about guards that cannot distinguish callers.

    `keys` are those of `bucketing`; `verifies`: the file has a secret for tokens.
    """
    counted = any(route.guard is not None and route.guard.min_callers > 1 for _, route in routes)
    if counted and not verifies and any(key.kind == "jwt" for key in keys):
        message = "guards count callers by address alone: without `tokens.secret` no `jwt:` key is verified"
        yield locate(message, "bucketing", "key")
    for index, route in routes:
        traffic = route.native_traffic
        for key, targets in _both(route):
            if targets and route.pin is not None:
                yield locate(f"has no effect: the route is pinned to {route.pin}", "routes", index, "native", key)
        if traffic.include and route.native == FULL and route.rollout is None and route.pin is None:
            message = f"has no effect: native's share is {show_share(route.native)} already"
            yield locate(message, "routes", index, "native", "include")
        if traffic.exclude and not route.native and not traffic.include and route.pin is None:
            yield locate("has no effect: native's share is 0%", "routes", index, "native", "exclude")


def _both(route: Route) -> tuple[tuple[str, Mapping[KeySource, TargetValues]], ...]:
    return ("include", route.native_traffic.include), ("exclude", route.native_traffic.exclude)
