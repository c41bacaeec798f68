"""Violations and hints that a schema caches: by all that they depend on, and only so many."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.contract.model import MAX_KINDS, Operation
from proxy.contract.payloads import PayloadError, read_payload
from proxy.contract.schemas import MAX_RECENT, MAX_RECENT_VIOLATIONS, Schema
from proxy.types import JSON

NUMBER = Schema({"type": "number"})
JSON_TYPE = "application/json"


def counting(read: list[bytes]) -> Callable[[str, bytes], JSON]:
    """Return `read_payload`, with a record of the bodies that are read."""

    def reading(content_type: str, body: bytes) -> JSON:
        read.append(body)
        return read_payload(content_type, body)

    return reading


def test_recent_body_is_read_once() -> None:
    schema, read = Schema({"type": "number"}), list[bytes]()
    rules = [
        [one.rule for one in schema.body_violations(JSON_TYPE, body, counting(read))] for body in (b'"a"', b"1") * 3
    ]
    assert rules == [["type"], []] * 3
    assert read == [b'"a"', b"1"]


def test_content_type_is_part_of_a_recent_body() -> None:
    schema, read = Schema({"type": "string"}), list[bytes]()
    assert schema.body_violations("text/plain", b"a", counting(read)) == ()
    with pytest.raises(PayloadError):
        schema.body_violations(JSON_TYPE, b"a", counting(read))
    assert schema.body_violations("text/plain", b"a", counting(read)) == ()
    assert read == [b"a", b"a"]


def test_number_of_recent_bodies_is_limited() -> None:
    schema, read = Schema({"type": "number"}), list[bytes]()
    for number in (*range(MAX_RECENT + 1), 0):
        schema.body_violations(JSON_TYPE, b"%d" % number, counting(read))
    assert read.count(b"0") == 2


def test_many_violations_of_one_body_are_not_cached() -> None:
    schema, read = Schema({"items": {"type": "number"}}), list[bytes]()
    body = b"[" + b",".join([b'"a"'] * (MAX_RECENT_VIOLATIONS + 1)) + b"]"
    for _ in range(2):
        assert len(schema.body_violations(JSON_TYPE, body, counting(read))) == MAX_RECENT_VIOLATIONS + 1
    assert read == [body, body]


def test_number_of_kinds_of_an_answer_with_hints_is_limited() -> None:
    operation = Operation("a", "GET", "/a")
    first = operation.hints_of(200, "x/0")
    assert operation.hints_of(200, "x/0") is first
    for number in range(1, MAX_KINDS + 1):
        operation.hints_of(200, f"x/{number}")
    assert operation.hints_of(200, "x/0") is not first
