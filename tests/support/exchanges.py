"""Exchanges made by hand, and a contract for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from proxy.comparison.exchange import Body, Exchange, Headers, Outcome
from proxy.comparison.verdicts import Verdict
from proxy.contract.model import DeclaredAnswer, Operation
from proxy.contract.schemas import Schema
from proxy.types import JSON

NOW = 1_795_376_469
KIND = "application/json; charset=utf-8"


def exchange(
    body: bytes = b"",
    kind: str = KIND,
    *,
    status: int = 200,
    headers: Iterable[tuple[str, str]] = (),
    target: str = "/api/notes",
    method: str = "GET",
    sent: bytes = b"",
    sent_headers: Headers = (),
    outcome: Outcome = "response",
    total: float = 0.01,
) -> Exchange:
    """Return an exchange whose answer has this body and content type; no header for an empty `kind`."""
    given = [*([("content-type", kind)] if kind else []), *headers]
    return Exchange(
        method=method,
        target=target.encode(),
        request_headers=sent_headers,
        request_body=Body.of(sent),
        outcome=outcome,
        status=status if outcome == "response" else 0,
        headers=tuple((name.encode(), value.encode("latin-1")) for name, value in given),
        body=Body.of(body),
        started=float(NOW),
        head=total / 2,
        total=total,
    )


def answered(value: JSON, **more: object) -> Exchange:
    """Return an exchange whose answer is JSON."""
    return exchange(json.dumps(value).encode(), **more)  # type: ignore[arg-type]


def operation(schema: JSON, *statuses: int, requests: Mapping[str, JSON] | None = None) -> Operation:
    """Return an operation whose answers, by default 200, have this schema."""
    declared = DeclaredAnswer(media={"application/json": Schema(schema)})
    sent = {kind: Schema(one) for kind, one in (requests or {}).items()}
    return Operation("notes", "GET", "/api/notes", {str(one): declared for one in statuses or (200,)}, sent)


def properties(**schemas: JSON) -> JSON:
    """Return the schema of an object."""
    return {"type": "object", "properties": dict(schemas)}


def object_id(serial: int, made: int = NOW) -> str:
    """Return an object id generated at a time in seconds since the epoch."""
    return f"{made:08x}{serial:016x}"


def fields(verdict: Verdict) -> list[tuple[str, str]]:
    """Return field and kind of each difference."""
    return [(one.field, one.kind) for one in verdict.differences]
