"""Refusals that divergences declare, recognised without a body."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.contract.bundle import load_bundle
from proxy.contract.declared_refusals import DeclaredRefusals
from proxy.contract.divergences import Divergence

ROOT = Path(__file__).parents[3]
LOGGED_OUT = [(b"ETag", b'W/"32-6wLM2WjV3CsvVaFaMEFRx+6LcSo"')]


@pytest.fixture(scope="module")
def shipped() -> DeclaredRefusals:
    return DeclaredRefusals(load_bundle(ROOT / "contracts").divergences)


def declared(operation: str = "POST /a/{id}", **when: Any) -> DeclaredRefusals:
    values = {
        "id": "a",
        "operation": operation,
        "legacy": "x",
        "native": "y",
        "reason": "z",
        "since": "1",
        "when": when,
    }
    return DeclaredRefusals([Divergence.model_validate(values)])


@pytest.mark.parametrize(
    ("operation", "status", "answer", "expected"),
    [
        ("POST /users/login", 429, [(b"retry-after", b"5")], True),
        ("POST /users/login", 429, [], False),
        ("POST /users/register", 400, [], True),
        ("POST /users/logout/", 401, [], True),
        ("GET /api/prompts", 401, LOGGED_OUT, True),
        ("GET /api/prompts", 401, [(b"etag", b'W/"other"')], False),
        ("GET /api/prompts", 401, [], False),
        ("GET /users/profile", 403, [], False),
    ],
)
def test_shipped_refusals(
    shipped: DeclaredRefusals, operation: str, status: int, answer: list[tuple[bytes, bytes]], expected: bool
) -> None:
    assert shipped.include(operation, status, [], answer) is expected


def test_headers_of_the_request_narrow_a_refusal() -> None:
    refusals = declared(
        "{method} /a/{id}", request={"headers": {"content-encoding": "/br/", "x-a": None}}, native={"status": 400}
    )
    assert refusals.include("PUT /A/1", 400, [(b"content-encoding", b"br")], [])
    assert not refusals.include("PUT /a/1", 400, [(b"content-encoding", b"gzip")], [])
    assert not refusals.include("PUT /a/1", 400, [(b"content-encoding", b"br"), (b"x-a", b"1")], [])
    assert not refusals.include("PUT /b/1", 400, [(b"content-encoding", b"br")], [])


@pytest.mark.parametrize(
    "when",
    [
        {"native": {"status": 500}},
        {"native": {"status": 200}},
        {"native": {"body": {"msg": "x"}}},
        {"native": {"status": 404}, "legacy": {"status": 404}},
        {"native": {"status": 404}, "scenario": "a"},
    ],
)
def test_other_outcomes_are_not_declared_refusals(when: dict[str, Any]) -> None:
    refusals = declared(**when)
    assert not any(refusals.include("POST /a/1", status, [], []) for status in (200, 404, 500))


def test_body_applies_to_a_single_operation_only() -> None:
    body = {"status": 404, "body": {"msg": "x"}}
    assert declared("POST /a/{id}", native=body).include("POST /a/1", 404, [], [])
    assert not declared("{method} /a/{id}", native=body).include("POST /a/1", 404, [], [])
