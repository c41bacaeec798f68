"""Verdicts on bodies that are deep, cut short, or of no known form."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.comparison.exchanges import compare
from proxy.comparison.verdicts import Difference
from proxy.contract.model import DeclaredAnswer, Operation
from proxy.contract.payloads import media_type
from proxy.contract.schemas import Schema
from proxy.types import JSON
from tests.support.exchanges import answered, exchange, fields, operation, properties

CONTRACT = operation(properties(_id={"type": "string", "format": "objectid"}, body={"type": "string"}))
DEEP = b"[" * 10_000 + b"]" * 10_000
AWKWARD = {
    "nested 10,000 deep": DEEP,
    "nested 300 deep": b"[" * 300 + b"1" + b"]" * 300,
    "objects 5,000 deep": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "never closed": b"[" * 10_000,
    "1e400": b'{"a":1e400}',
    "-1e400": b'{"a":-1e400}',
    "a number of 5,000 digits": b'{"a":' + b"9" * 5_000 + b"}",
    "a name twice": b'{"a":1,"a":2}',
    "cut short": b'{"a":[1,2',
    "not JSON": b"<html>oops</html>",
    "NaN": b'{"a":NaN}',
    "not UTF-8": b'{"a":"\xff\xfe"}',
    "a lone surrogate": b'{"a":"\\ud800"}',
    "a NUL": b'{"a":"\\u0000"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "nothing": b"",
    "null": b"null",
    "white space": b" ",
}


@pytest.mark.parametrize("one", AWKWARD)
def test_malformed_bodies_have_a_verdict(one: str) -> None:
    for other, body in AWKWARD.items():
        verdict = compare(exchange(AWKWARD[one]), exchange(body), CONTRACT)
        expected = ("match", "violation") if one == other else ("mismatch",)
        assert verdict.name in expected, other


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-16", 'a/b+json; charset="UTF-8"'])
@pytest.mark.parametrize("one", [*AWKWARD.values(), b'{"a":1}', b'{"_id":7,"a":1.5}', '{"_id":7}'.encode("utf-16")])
def test_contract_violations_do_not_depend_on_body_parsing(one: bytes, kind: str) -> None:
    declared = DeclaredAnswer(
        media={media_type(kind): Schema(properties(_id={"type": "string"}, a={"type": "integer"}))}
    )
    contract = Operation("notes", "GET", "/api/notes", {"200": declared})
    verdict = compare(exchange(one, kind), exchange(b'{"different": 1}', kind), contract)
    violations = [replace(violation, backend=None) for violation in verdict.violations if violation.backend == "legacy"]
    assert violations == list(contract.violations(200, {"content-type": kind}, one))


@pytest.mark.parametrize("one", AWKWARD)
def test_malformed_bodies_with_a_change_are_a_mismatch(one: str) -> None:
    verdict = compare(exchange(AWKWARD[one] + b"x"), exchange(AWKWARD[one] + b"y"), CONTRACT)
    assert verdict.name == "mismatch"


def test_nested_arrays_of_differences_compare_quickly() -> None:
    def nest(leaf: int) -> bytes:
        value: JSON = leaf
        for _ in range(150):
            value = [value, leaf]
        return json.dumps(value).encode()

    assert compare(exchange(nest(1)), exchange(nest(2))).name == "mismatch"


def test_text_of_many_token_prefixes_compares_quickly() -> None:
    text = b"eyJ-" * 60_000
    assert compare(exchange(text, "text/plain"), exchange(text + b"x", "text/plain")).name == "mismatch"


@pytest.mark.parametrize("depth", [150, 198, 199, 300, 900])
def test_deep_values_differ_at_their_leaf(depth: int) -> None:
    one, other = (exchange(b"[" * depth + leaf + b"]" * depth) for leaf in (b"1", b"2"))
    assert compare(one, other).name == "mismatch"
    assert compare(one, one, CONTRACT).name == "violation"


def test_rule_beside_a_deep_value_hides_its_own_field_only() -> None:
    rule = operation(properties(a={"x-compare": "ignore"}))
    one, other = (exchange(b'{"a":%d,"b":%s}' % (n, b"[" * 900 + b"]" * 900)) for n in (1, 2))
    assert (compare(one, other, rule).name, compare(one, other, rule).hidden) == ("match", (("body", "a"),))


TYPES = ["application/json", "text/html", "application/x-www-form-urlencoded", "multipart/x; boundary=a", "", "a/b"]
shards = st.lists(st.sampled_from([b"{", b"}", b"[", b"]", b'"', b",", b":", b"1e400", b"a", b"--a\r\n", b"<", b"&"]))


@given(shards, shards, st.sampled_from(TYPES), st.sampled_from(TYPES), st.sampled_from(["", "gzip", "br"]))
def test_random_bodies_always_have_a_verdict(
    one: list[bytes], other: list[bytes], kind: str, other_kind: str, coding: str
) -> None:
    legacy = exchange(b"".join(one), kind, headers=[("content-encoding", coding)])
    native = exchange(b"".join(other), other_kind)
    there, back = compare(legacy, native), compare(native, legacy)
    assert there.name == back.name
    mirrored = {(each.path, each.kind, each.severity) for each in back.differences}
    assert {(each.path, each.kind, each.severity) for each in map(Difference.mirrored, there.differences)} == mirrored


def test_thousand_differences_are_enough() -> None:
    verdict = compare(answered([[n] for n in range(5000)]), answered([[str(n)] for n in range(5000)]))
    assert len(verdict.differences) == 1000


def test_malformed_compressed_body_is_compared() -> None:
    packed = exchange(gzip.compress(DEEP), headers=[("content-encoding", "gzip")])
    assert fields(compare(packed, exchange(DEEP))) == [("header.content-encoding", "missing")]
