"""The live state of a route, as the ops listener of a running gateway gives it."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import click

from proxy.config.field_types import FULL
from proxy.config.models import Route
from proxy.gateway.bucketing import Limit

TIMEOUT = 5.0
"""Seconds for the answer of the ops listener."""


@dataclass(frozen=True, slots=True)
class LiveState:
    """The limits of a route's share in a running gateway; `reason` says in words what limits it."""

    limit: Limit
    reason: str
    revision: str


def live_state(ops_url: str, route: Route | None) -> LiveState:
    """Return the live state of a route. Raises ClickException where it cannot be read."""
    live = _fetch(ops_url, "/live.json?renew=no")
    revision = str(live.get("status", {}).get("revision", ""))
    if route is None:
        return LiveState(Limit(), "no route", revision)
    now = next((each for each in live.get("routes", ()) if each.get("name") == route.name), None)
    if now is None:
        raise click.ClickException(f"the gateway at {ops_url} has no route {route.name}: its revision is {revision}")
    return LiveState(Limit(_stage(route, now), _cap(now)), str(now.get("reason", "")), revision)


def _stage(route: Route, now: dict[str, Any]) -> int:
    if route.rollout is None:
        return FULL
    progress = now.get("progress")
    return _basis_points(progress["stage"]) if progress else route.rollout.start_at or 0


def _cap(now: dict[str, Any]) -> int:
    if now.get("by") == "unread":
        return 0
    cap = now.get("cap")
    return _basis_points(cap["share"]) if cap else FULL


def _basis_points(percent: float) -> int:
    return round(percent * 100)


def _fetch(ops_url: str, path: str) -> dict[str, Any]:
    request = urllib.request.Request(ops_url.rstrip("/") + path, headers={"accept": "application/json"})  # noqa: S310
    if token := os.environ.get("OPS_TOKEN", ""):
        request.add_header("authorization", f"Bearer {token}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT) as answer:
            answered: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        reason = "requires a token: set OPS_TOKEN" if error.code == 401 else f"answered {error.code}"
        raise click.ClickException(f"{ops_url} {reason}") from None
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{ops_url} cannot be reached: {error}") from None
    return answered
