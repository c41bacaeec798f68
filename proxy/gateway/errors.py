"""Failures between the gateway and a backend, and the answer that a client gets.

A backend raises a failure before it has begun to answer. The gateway answers with a small JSON body in the legacy's
format, `{"msg": …, "error": code}`. The codes are stable: logs, metrics and clients depend on them.

    Failure
    ├── Overloaded          503  gateway_overloaded      one of the gateway's own limits is reached
    ├── BodyMismatch        400  request_body_mismatch   the body's length differs from the announced one
    ├── NativeFailed        500  native_failed           the native app raised before it answered
    └── LegacyFailure
        ├── NotConnected                                 no byte of the request was sent
        │   ├── Unreachable     502  legacy_unreachable      the address accepts no connections
        │   ├── ConnectTimeout  504  legacy_connect_timeout  no connection in time
        │   └── CircuitOpen     503  legacy_down             the circuit breaker is open
        ├── AnswerTimeout   504  legacy_timeout          the request was sent, and no answer came in time
        ├── Reset           502  legacy_reset            the connection ended before an answer
        └── BadAnswer       502  legacy_bad_answer       the answer is not valid HTTP
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import ClassVar

from proxy.types import RawHeaders


class Failure(Exception):
    """A request that no backend answered. `status` is the HTTP status, `code` the stable name.

    `cause` names a connection fault in logs and metrics (`refused`, `certificate`, …); clients never see it.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "gateway_failed"
    message: ClassVar[str] = "The gateway failed"
    cause: str | None = None

    def __init__(self, cause: str | None = None) -> None:
        super().__init__(*([] if cause is None else [cause]))
        self.cause = cause if cause is not None else type(self).cause


class Overloaded(Failure):
    status, code, message = 503, "gateway_overloaded", "Too many requests in flight, please retry"


class BodyMismatch(Failure):
    """The received body is shorter or longer than the `Content-Length` of its head."""

    status, code, message = 400, "request_body_mismatch", "The request's body does not have the length announced"


class NativeFailed(Failure):
    status, code, message = 500, "native_failed", "Internal Server Error"


class LegacyFailure(Failure):
    status, code, message = 502, "legacy_failed", "The service failed"


class NotConnected(LegacyFailure):
    """There was no connection, so nothing was sent. Another backend may take over a request of any method."""


class Unreachable(NotConnected):
    status, code, message = 502, "legacy_unreachable", "The service cannot be reached"


class ConnectTimeout(NotConnected):
    status, code, message = 504, "legacy_connect_timeout", "The service did not accept a connection in time"
    cause = "timeout"


class CircuitOpen(NotConnected):
    status, code, message = 503, "legacy_down", "The service is down, please retry"


class AnswerTimeout(LegacyFailure):
    status, code, message = 504, "legacy_timeout", "The service did not answer in time"
    cause = "timeout"


class Reset(LegacyFailure):
    status, code, message = 502, "legacy_reset", "The service closed the connection without an answer"
    cause = "reset"


class BadAnswer(LegacyFailure):
    status, code, message = 502, "legacy_bad_answer", "The service's answer could not be understood"
    cause = "bad_answer"


def error_response(failure: Failure, origin: bytes | None, allowed: Collection[bytes]) -> tuple[RawHeaders, bytes]:
    """Return the response's headers and body. Pages of an `origin` in `allowed` may read it (CORS, credentials)."""
    body = json.dumps({"msg": failure.message, "error": failure.code}, separators=(",", ":")).encode()
    headers = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"vary", b"Origin"),
    ]
    if origin is not None and origin in allowed:
        headers.append((b"access-control-allow-origin", origin))
        headers.append((b"access-control-allow-credentials", b"true"))
    if failure.status == 503:
        headers.append((b"retry-after", b"1"))
    return headers, body
