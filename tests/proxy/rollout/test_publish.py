"""Receivers of changes of a share: log, metrics and webhook."""

from __future__ import annotations

import json

import pytest
from prometheus_client import REGISTRY

from proxy.config.field_types import ZERO
from proxy.config.models import Route
from proxy.rollout import publish
from proxy.rollout.model import Attribution, AuditEntry, Kind
from proxy.rollout.shares import Effective
from proxy.types import BasisPoints

BY = Attribution("guard", "errors 40%", 1_795_000_000.0)


def change(kind: Kind, before: int = 2500, after: int = 0) -> AuditEntry:
    return AuditEntry(kind, BY, BasisPoints(before), BasisPoints(after), "notes.list", "r2")


def test_event_describes_the_share_and_its_reason() -> None:
    notice = publish.webhook_event(change("cap"))
    assert notice is not None
    assert json.loads(notice.body()) == {
        "type": "cap",
        "timestamp": "2026-11-18T11:06:40.000+00:00",
        "data": {
            "route": "notes.list",
            "revision": "r2",
            "before": 25.0,
            "after": 0.0,
            "actor": "guard",
            "reason": "errors 40%",
        },
    }


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (change("rollback"), "rollback"),
        (change("promotion", 100, 1000), "promotion"),
        (change("pause", 100, 100), "pause"),
        (change("release", 0, 100), "release"),
        (change("share", 100, 50), "share"),
        (change("ack", 0, 0), "ack"),
        (change("start", 0, 100), "start"),
        (change("gate", 100, 100), "gate"),
        (change("resume", 100, 100), "resume"),
        (change("config", 0, 0), None),
    ],
)
def test_webhook_gets_every_change_of_a_share_or_rollout(made: AuditEntry, kind: str | None) -> None:
    event = publish.webhook_event(made)
    assert (event.type if event is not None else None) == kind


def test_metrics_contain_shares_and_caps_by_actor() -> None:
    route = Route.model_validate({"name": "told.route", "match": "GET /told", "native": "50%"})
    publish.show(route, Effective(ZERO, "cap", "capped at 0%", cap=ZERO))
    publish.count(AuditEntry("cap", BY, BasisPoints(5000), ZERO, "told.route"))
    share = {kind: {"route": "told.route", "kind": kind} for kind in ("file", "effective")}
    assert REGISTRY.get_sample_value("scribe_proxy_share_ratio", share["file"]) == 0.5
    assert REGISTRY.get_sample_value("scribe_proxy_share_ratio", share["effective"]) == 0.0
    assert REGISTRY.get_sample_value("scribe_proxy_capped", {"route": "told.route"}) == 1.0
    changes = {"route": "told.route", "change": "cap"}
    assert REGISTRY.get_sample_value("scribe_proxy_share_changes_total", changes) == 1.0
