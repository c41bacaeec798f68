"""Requests in the form in which the shadow process receives them."""

from __future__ import annotations

from proxy.shadow.messages import ConnectionInfo, RequestSnapshot

CONNECTION = ConnectionInfo("https", "1.1", ("10.0.0.7", 4711), ("127.0.0.1", 8000), b"id-1", "/notes/{id}")


def snapshot(target: str = "/notes/same", method: str = "GET", body: bytes = b"") -> RequestSnapshot:
    headers = ((b"host", b"clinic.example"), (b"x-two", b"1"), (b"x-two", b"2"))
    return RequestSnapshot(method, target.encode(), headers, body, CONNECTION)
