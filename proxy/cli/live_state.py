"""Read the live state of a route from the ops listener of a running gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from proxy.cli.ops_client import fetch, ops_client, read
from proxy.cli.unusable import Unusable
from proxy.config.field_types import FULL, ZERO
from proxy.config.models import Route
from proxy.gateway.bucketing import Limit
from proxy.types import BasisPoints


@dataclass(frozen=True, slots=True)
class LiveState:
    """The limits of a route's share in a running gateway; `reason` is a text."""

    limit: Limit
    reason: str
    revision: str


def live_state(ops_url: str, route: Route | None) -> LiveState:
    """Return the live state of a route. Raises ClickException if it cannot be read."""
    with ops_client(ops_url) as client:
        live = read(
            client, fetch(client, "/live.json", {"q": route.name if route is not None else "-"}), dict[str, Any]
        )
    revision = str(live.get("status", {}).get("revision", ""))
    if route is None:
        return LiveState(Limit(), "no route", revision)
    now = next((each for each in live.get("routes", ()) if each.get("name") == route.name), None)
    if now is None:
        raise Unusable(f"the gateway at {ops_url} has no route {route.name}: its revision is {revision}")
    return LiveState(Limit(_stage(route, now), _cap(now)), str(now.get("reason", "")), revision)


def _stage(route: Route, now: dict[str, Any]) -> BasisPoints:
    if route.rollout is None:
        return FULL
    progress = now.get("progress")
    return _basis_points(progress["stage"]) if progress else route.rollout.start_at or ZERO


def _cap(now: dict[str, Any]) -> BasisPoints:
    if now.get("by") == "unread":
        return ZERO
    cap = now.get("cap")
    return _basis_points(cap["share"]) if cap else FULL


def _basis_points(percent: float) -> BasisPoints:
    return BasisPoints(round(percent * 100))
