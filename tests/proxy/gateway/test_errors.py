"""Answers to the client if no backend answered."""

from __future__ import annotations

import json

import pytest

from proxy.gateway.errors import AnswerTimeout, Failure, Overloaded, Unreachable, error_response

ALLOWED = (b"http://localhost:3000",)


@pytest.mark.parametrize("failure", [AnswerTimeout(), Overloaded(), Unreachable()])
def test_error_body_has_legacys_form(failure: Failure) -> None:
    headers, body = error_response(failure, None, ALLOWED)
    assert json.loads(body) == {"msg": failure.message, "error": failure.code}
    assert dict(headers)[b"content-length"] == str(len(body)).encode()
    assert dict(headers)[b"content-type"] == b"application/json; charset=utf-8"


def test_allowed_origin_gets_cors_headers() -> None:
    headers, _ = error_response(Unreachable(), ALLOWED[0], ALLOWED)
    assert dict(headers)[b"access-control-allow-origin"] == ALLOWED[0]
    assert dict(headers)[b"access-control-allow-credentials"] == b"true"
    assert dict(headers)[b"vary"] == b"Origin"


@pytest.mark.parametrize("origin", [None, b"https://evil.example"])
def test_other_origin_gets_no_cors_headers(origin: bytes | None) -> None:
    headers, _ = error_response(Unreachable(), origin, ALLOWED)
    assert b"access-control-allow-origin" not in dict(headers)


def test_overload_has_a_retry_after() -> None:
    assert dict(error_response(Overloaded(), None, ())[0])[b"retry-after"] == b"1"
    assert b"retry-after" not in dict(error_response(Unreachable(), None, ())[0])
