"""The form in which samples are kept: a document whose `told` is JSON text, since BSON nests no deeper than 100. Pure.

`document` makes one of a comparison, redacted; `head` and `sample` read it as views.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias, cast

from proxy.reports.events import ComparisonEvent
from proxy.reports.models import (
    FieldKind,
    Sample,
    SampleHead,
    StoredAnswer,
    StoredBody,
    StoredDifference,
    StoredRequest,
    StoredValue,
    StoredViolation,
    StoredWrite,
    Tree,
)
from proxy.reports.redaction import Redactor
from proxy.types import JSON

Document: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str, FieldKind]
_Stored: TypeAlias = Mapping[str, Any]

PLACES: Final = 20
"""How many fields a sample is found by."""
DIFFERENCES: Final = 200
"""How many differences of a sample are told."""


def document(comparison: ComparisonEvent, places: Sequence[Place], redactor: Redactor, at: float) -> Document:
    """A sample of a comparison, to be found by its route and places. Holds nothing that is not redacted."""
    legacy, native = comparison.legacy, comparison.native
    verdict = redactor.verdict(comparison.verdict, legacy, native)
    told: dict[str, JSON] = {
        "request": redactor.request(legacy),
        "legacy": redactor.answer(legacy),
        "native": redactor.answer(native),
        "differences": cast("list[JSON]", verdict["differences"])[:DIFFERENCES],
        "breaches": cast("list[JSON]", verdict["breaches"])[:DIFFERENCES],
        "declared": verdict["declared"],
        "hidden": verdict["hidden"],
        "wrote": None if comparison.wrote is None else redactor.wrote(comparison.wrote),
    }
    return {
        "_id": secrets.token_hex(8),
        "at": datetime.fromtimestamp(at, UTC),
        "route": comparison.route,
        "operation": comparison.operation.id if comparison.operation else None,
        "verdict": comparison.verdict.name,
        "served": comparison.served,
        "statuses": [legacy.status, native.status],
        "places": [{"field": field, "kind": kind} for field, kind in places[:PLACES]],
        "told": json.dumps(told, separators=(",", ":")),
    }


def head(found: Document) -> SampleHead:
    """A sample in a list; `told` is not needed for it."""
    return SampleHead(
        id=found["_id"],
        route=found["route"],
        operation=found["operation"],
        verdict=found["verdict"],
        served=found["served"],
        at=found["at"].replace(tzinfo=UTC).timestamp(),
        statuses=(found["statuses"][0], found["statuses"][1]),
        fields=tuple((place["field"], place["kind"]) for place in found["places"]),
    )


def sample(found: Document, noise: Collection[str]) -> Sample:
    """A sample in full; `noise` are the route's fields that legacy does not repeat."""
    told: _Stored = json.loads(found["told"])
    listed = head(found)
    return Sample(
        id=listed.id,
        route=listed.route,
        operation=listed.operation,
        verdict=listed.verdict,
        served=listed.served,
        at=listed.at,
        request=_request(told["request"]),
        legacy=_answer(told["legacy"]),
        native=_answer(told["native"]),
        differences=tuple(_difference(one, one["field"] in noise) for one in told["differences"]),
        breaches=tuple(StoredViolation(**one) for one in told["breaches"]),
        declared=tuple(told["declared"]),
        hidden=tuple(told["hidden"]),
        wrote=None if told["wrote"] is None else tuple(StoredWrite(**one) for one in told["wrote"]),
    )


def _difference(told: _Stored, noise: bool) -> StoredDifference:
    backends = {backend: StoredValue(**told[backend]) if told[backend] else None for backend in ("legacy", "native")}
    return StoredDifference(
        told["field"], told["kind"], told["severity"], told["declared"], noise, backends["legacy"], backends["native"]
    )


def _request(told: _Stored) -> StoredRequest:
    return StoredRequest(
        told["method"], told["template"], told["path"], told["query"], _headers(told), StoredBody(**told["body"])
    )


def _answer(told: _Stored) -> StoredAnswer:
    return StoredAnswer(
        told["outcome"], told["status"], _headers(told), StoredBody(**told["body"]), told["head"], told["total"]
    )


def _headers(told: _Stored) -> tuple[tuple[str, Tree], ...]:
    return tuple((name, value) for name, value in told["headers"])
