"""Publish changes of shares: to Prometheus, and to the webhook of routing.yaml."""

from __future__ import annotations

from datetime import UTC, datetime

from proxy.config.field_types import FULL
from proxy.config.models import Route
from proxy.observability import metrics
from proxy.observability.webhook import WebhookEvent
from proxy.rollout.model import AuditEntry, ceiling
from proxy.rollout.shares import Effective


def count(change: AuditEntry) -> None:
    """Count a change that this replica announces; exactly one replica counts it."""
    metrics.SHARE_CHANGES.labels(change.route, change.kind).inc()


def show(route: Route, share: Effective) -> None:
    """Set the gauges of a route: the file's share, the share in force, and the cap."""
    metrics.SHARE.labels(route.name, "file").set(ceiling(route) / FULL)
    metrics.SHARE.labels(route.name, "effective").set(share.share / FULL)
    metrics.CAPPED.labels(route.name).set(share.by == "cap")


def webhook_event(change: AuditEntry) -> WebhookEvent | None:
    """Return the webhook event for a change, with shares in percent; None for a change of the configuration alone."""
    if change.kind == "config":
        return None
    data = {
        "route": change.route,
        "revision": change.revision,
        "before": change.before / 100,
        "after": change.after / 100,
        "actor": change.by.actor,
        "reason": change.by.reason,
    }
    return WebhookEvent(change.kind, data, datetime.fromtimestamp(change.by.at, UTC))
