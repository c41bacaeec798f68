"""Webhook events about differences: new ones, drift from the contract, and fixed ones that returned."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from proxy.observability.webhook import Type, WebhookEvent
from proxy.reports.registry import Registered
from proxy.reports.times import date_of, iso
from proxy.reports.triage import TrackedDifference

MAX_LISTED: Final = 20
"""Maximum number of differences that one event lists; `total` counts all."""


def events(registered: Registered, legacy_violations: Collection[str]) -> Iterator[WebhookEvent]:
    """Yield one event for each type that applies.

    `legacy_violations`: the ids of the differences in which legacy's answers violate the contract, which is drift.
    """
    drift = [one for one in registered.new if one.id in legacy_violations]
    new = [one for one in registered.new if one.id not in legacy_violations]
    yield from _event("contract_drift", drift)
    yield from _event("new_difference", new)
    yield from _event("difference_returned", registered.returned)


def _event(kind: Type, differences: Sequence[TrackedDifference]) -> Iterator[WebhookEvent]:
    if differences:
        at = date_of(max(one.mark.at for one in differences))
        listed = [_described(one) for one in differences[:MAX_LISTED]]
        yield WebhookEvent(kind, {"differences": listed, "total": len(differences)}, at)


def _described(difference: TrackedDifference) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": difference.id,
        "route": difference.route,
        "field": difference.field,
        "kind": difference.kind,
        "revision": difference.mark.revision if difference.state == "returned" else difference.revisions[-1],
        "first": iso(difference.first),
        "last": iso(difference.last),
    }
    fixed = difference.history[-1] if difference.history else None
    if difference.state == "returned" and fixed is not None:
        described["fixed"] = {
            "actor": fixed.actor,
            "at": iso(fixed.at),
            "revision": fixed.revision,
            "ticket": fixed.ticket,
        }
    return described
