"""Convert comparisons to documents of samples and back to views. Pure.

`content` of a document is JSON text, because BSON nests no deeper than 100.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC
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
from proxy.reports.times import date_of
from proxy.reports.triage import difference_id
from proxy.types import JSON

Document: TypeAlias = dict[str, Any]
FieldAndKind: TypeAlias = tuple[str, FieldKind]
_Stored: TypeAlias = Mapping[str, Any]

_ID: Final = re.compile(r"[0-9a-f]{8}-([0-9a-f]{16})")
MAX_FIELDS: Final = 20
"""Maximum number of fields by which a sample is found."""
MAX_DIFFERENCES: Final = 200
"""Maximum number of stored differences of a sample."""


def document(
    comparison: ComparisonEvent,
    fields: Sequence[FieldAndKind],
    redactor: Redactor,
    at: float,
    revision: str | None = None,
    reproduction: Mapping[str, JSON] | None = None,
) -> Document:
    """Return the redacted document of a comparison, found by its route and `fields`.

    Its id ends with that of its first difference, so that a link to a removed sample leads to that difference.
    """
    content = {**_content(comparison, redactor), "reproduction": None if reproduction is None else dict(reproduction)}
    return {
        "_id": f"{secrets.token_hex(4)}-{difference_id(comparison.route, *fields[0])}",
        "at": date_of(at),
        "expire_from": date_of(at),
        "pinned": False,
        "revision": revision,
        "redaction": redactor.mode,
        "route": comparison.route,
        "operation": comparison.operation.id if comparison.operation else None,
        "verdict": comparison.verdict.name,
        "served": comparison.served,
        "statuses": [comparison.legacy.status, comparison.native.status],
        "fields": [{"field": field, "kind": kind} for field, kind in fields[:MAX_FIELDS]],
        "content": json.dumps(content, separators=(",", ":")),
    }


def _content(comparison: ComparisonEvent, redactor: Redactor) -> dict[str, JSON]:
    """Return the redacted request, both answers and the verdict."""
    legacy, native = comparison.legacy, comparison.native
    verdict = redactor.verdict(comparison.verdict, legacy, native)
    return {
        "request": redactor.request(legacy),
        "legacy": redactor.answer(legacy),
        "native": redactor.answer(native),
        "differences": cast("list[JSON]", verdict["differences"])[:MAX_DIFFERENCES],
        "violations": cast("list[JSON]", verdict["violations"])[:MAX_DIFFERENCES],
        "declared": verdict["declared"],
        "hidden": verdict["hidden"],
        "writes": None if comparison.writes is None else redactor.writes(comparison.writes),
    }


def difference_of(identity: str) -> str | None:
    """Return the id of the first difference of a sample with this id; None for another id."""
    match = _ID.fullmatch(identity)
    return match[1] if match else None


def head(stored: Document) -> SampleHead:
    """Return a sample as a list shows it; reads no `content`."""
    return SampleHead(
        id=stored["_id"],
        route=stored["route"],
        operation=stored["operation"],
        verdict=stored["verdict"],
        served=stored["served"],
        at=stored["at"].replace(tzinfo=UTC).timestamp(),
        statuses=(stored["statuses"][0], stored["statuses"][1]),
        fields=tuple((one["field"], one["kind"]) for one in stored["fields"]),
        pinned=stored["pinned"],
        revision=stored["revision"],
    )


def sample(stored: Document, noise: Collection[str]) -> Sample:
    """Return a sample in full; `noise` are the route's fields that legacy does not repeat."""
    content: _Stored = json.loads(stored["content"])
    listed = head(stored)
    return Sample(
        id=listed.id,
        route=listed.route,
        operation=listed.operation,
        verdict=listed.verdict,
        served=listed.served,
        at=listed.at,
        request=_request(content["request"]),
        legacy=_answer(content["legacy"]),
        native=_answer(content["native"]),
        differences=tuple(_difference(one, one["field"] in noise) for one in content["differences"]),
        violations=tuple(StoredViolation(**one) for one in content["violations"]),
        declared=tuple(content["declared"]),
        hidden=tuple(content["hidden"]),
        pinned=listed.pinned,
        revision=listed.revision,
        redaction=stored["redaction"],
        reproduction=content["reproduction"],
        writes=None if content["writes"] is None else tuple(StoredWrite(**one) for one in content["writes"]),
    )


def _difference(stored: _Stored, noise: bool) -> StoredDifference:
    legacy, native = (StoredValue(**value) if value else None for value in (stored["legacy"], stored["native"]))
    return StoredDifference(
        stored["field"], stored["kind"], stored["severity"], stored["declared"], noise, legacy, native
    )


def _request(stored: _Stored) -> StoredRequest:
    return StoredRequest(
        method=stored["method"],
        template=stored["template"],
        path=stored["path"],
        query=stored["query"],
        headers=_headers(stored),
        body=StoredBody(**stored["body"]),
    )


def _answer(stored: _Stored) -> StoredAnswer:
    return StoredAnswer(
        outcome=stored["outcome"],
        status=stored["status"],
        headers=_headers(stored),
        body=StoredBody(**stored["body"]),
        head=stored["head"],
        total=stored["total"],
    )


def _headers(stored: _Stored) -> tuple[tuple[str, Tree], ...]:
    return tuple((name, value) for name, value in stored["headers"])
