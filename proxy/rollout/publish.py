"""Who is told of shares that change: Prometheus, and the webhook of routing.yaml."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from proxy.config.field_types import FULL
from proxy.config.models import Route
from proxy.observability import metrics
from proxy.observability.webhook import Type, WebhookEvent
from proxy.rollout.model import AuditEntry, Kind, ceiling
from proxy.rollout.shares import Effective

NOTICED: Final[dict[Kind, Type]] = {
    "cap": "cap",
    "rollback": "rollback",
    "release": "release",
    "promotion": "promotion",
    "pause": "pause",
}
"""What is worth a notice; an acknowledgement is, once the share has risen by it."""


def count(change: AuditEntry) -> None:
    """Count a change that this replica made."""
    metrics.SHARE_CHANGES.labels(change.route, change.kind).inc()


def show(route: Route, found: Effective) -> None:
    """Set a route's share, by the file and in force."""
    metrics.SHARE.labels(route.name, "file").set(ceiling(route) / FULL)
    metrics.SHARE.labels(route.name, "effective").set(found.share / FULL)
    metrics.CAPPED.labels(route.name).set(found.by == "cap")


def notice(change: AuditEntry) -> WebhookEvent | None:
    """What a webhook hears of a change, if it does; shares are in percent."""
    kind = NOTICED.get(change.kind)
    if change.kind == "ack" and change.after > change.before:
        kind = "release"
    if kind is None:
        return None
    data = {
        "route": change.route,
        "revision": change.revision,
        "before": change.before / 100,
        "after": change.after / 100,
        "actor": change.by.actor,
        "reason": change.by.reason,
    }
    return WebhookEvent(kind, data, datetime.fromtimestamp(change.by.at, UTC))
