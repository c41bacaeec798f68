"""CORS headers alone; test_express.py compares them with the real library."""

from __future__ import annotations

import pytest

from handlers.legacy.express.cors import Cors

CORS = Cors(["http://localhost:3000", ""], "GET,POST", "Content-Type")


def names(headers: tuple[tuple[bytes, bytes], ...]) -> list[bytes]:
    return [name for name, _ in headers]


def test_allowed_origin_is_named_first() -> None:
    headers = CORS.preface(b"http://localhost:3000")
    assert headers[1] == (b"access-control-allow-origin", b"http://localhost:3000")
    assert names(headers) == [
        b"x-powered-by",
        b"access-control-allow-origin",
        b"vary",
        b"access-control-allow-credentials",
    ]


@pytest.mark.parametrize("origin", [b"", b"null", b"http://localhost:3000/", b"HTTP://localhost:3000", b"*"])
def test_foreign_origin_gets_vary_only(origin: bytes) -> None:
    assert CORS.preface(origin) == (
        (b"x-powered-by", b"Express"),
        (b"vary", b"Origin"),
        (b"access-control-allow-credentials", b"true"),
    )


def test_preflight_answer_has_methods_headers_and_no_body() -> None:
    assert CORS.preflight(b"")[-3:] == (
        (b"access-control-allow-methods", b"GET,POST"),
        (b"access-control-allow-headers", b"Content-Type"),
        (b"content-length", b"0"),
    )
