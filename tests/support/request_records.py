"""Records of requests for observers."""

from __future__ import annotations

from proxy.gateway.request_record import RequestRecord


def request_record(**changes: object) -> RequestRecord:
    facts: dict[str, object] = {
        "request_id": "id-1",
        "kind": "http",
        "method": "GET",
        "route": "notes.list",
        "template": "/api/notes/{consultationId}",
        "backend": "native",
        "reason": "share",
        "bucket": 17,
        "status": 200,
        "failure": None,
        "head": 0.00123,
        "total": 0.0045,
    }
    return RequestRecord(**{**facts, **changes})  # type: ignore[arg-type]
