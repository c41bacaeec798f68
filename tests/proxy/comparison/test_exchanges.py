"""The verdict on two exchanges: which it is, why, and what it leaves to be explained."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.comparison.body_digests import DIGEST_BLOCK, digests_of
from proxy.comparison.exchange import Body, Exchange
from proxy.comparison.exchanges import catch_all_divergences, compare
from proxy.comparison.modes import DRY_RUN
from proxy.comparison.verdicts import Difference, Verdict
from proxy.contract.divergences import Divergence
from proxy.contract.model import DeclaredAnswer, Operation
from proxy.contract.payloads import media_type
from proxy.contract.schemas import Schema
from proxy.types import JSON
from tests.support.exchanges import NOW, answered, exchange, object_id, operation, properties

NOTE: JSON = {"_id": object_id(1), "body": "Rest and fluids."}
CONTRACT = operation(properties(_id={"type": "string", "format": "objectid"}, body={"type": "string"}))


def fields(verdict: Verdict) -> list[tuple[str, str]]:
    return [(one.field, one.kind) for one in verdict.differences]


def divergence(**case: Any) -> Divergence:
    told = dict.fromkeys(("legacy", "native", "reason", "since"), "-")
    return Divergence.model_validate({"id": "meant", "operation": "GET /api/notes", "when": [case], **told})


def test_the_same_answer_matches() -> None:
    assert compare(answered(NOTE), answered(NOTE), CONTRACT) == Verdict("match")


def test_what_differs_is_a_mismatch() -> None:
    verdict = compare(answered(NOTE), answered({**NOTE, "body": 1} if isinstance(NOTE, dict) else None))
    assert (verdict.name, fields(verdict)) == ("mismatch", [("body.body", "type")])
    assert verdict.unexplained == verdict.differences
    assert verdict.differences[0].severity == "breaking"


def test_three_faults_in_one_answer_are_told_as_three() -> None:
    items: list[dict[str, JSON]] = [{"_id": object_id(n), "body": f"note {n}", "count": n} for n in range(4)]
    broken: list[JSON] = [{"_id": one["_id"], "text": one["body"], "count": str(one["count"])} for one in items]
    verdict = compare(answered({"notes": list(items)}), answered({"notes": broken[::-1]}))
    assert set(fields(verdict)) == {
        ("body.notes.*.body", "missing"),
        ("body.notes.*.text", "extra"),
        ("body.notes.*.count", "type"),
        ("body.notes", "order"),
    }


def test_a_declared_difference_is_declared() -> None:
    verdict = compare(answered({"a": 1}), answered({"a": 2}), divergences=[divergence(native={"body": {"a": 2}})])
    assert (verdict.name, verdict.declared, verdict.unexplained) == ("declared", ("meant",), ())
    assert fields(verdict) == [("body.a", "value")]


def test_a_divergence_explains_the_places_it_names_and_no_others() -> None:
    meant = divergence(paths=["body.notes.*.a"])
    verdict = compare(
        answered({"notes": [{"a": 1, "b": 1}]}), answered({"notes": [{"a": 2, "b": 2}]}), divergences=[meant]
    )
    assert (verdict.name, verdict.declared) == ("mismatch", ("meant",))
    assert [one.field for one in verdict.unexplained] == ["body.notes.*.b"]


def test_a_hanging_legacy_is_recognised_by_a_divergence() -> None:
    meant = divergence(legacy={"outcome": "hang"}, native={"status": 200})
    verdict = compare(exchange(outcome="hang"), answered({"msg": "wrong credentials"}), divergences=[meant])
    assert (verdict.name, fields(verdict)) == ("declared", [("outcome", "outcome")])
    assert compare(exchange(outcome="reset"), answered({}), divergences=[meant]).name == "mismatch"


def test_a_divergence_reads_compressed_answers_and_what_was_sent() -> None:
    meant = divergence(request={"body": {"q": "x"}}, native={"body": {"a": 2}})
    packed = exchange(gzip.compress(b'{"a":2}'), headers=[("content-encoding", "gzip")], sent=b'{"q":"x"}')
    assert compare(answered({"a": 1}, sent=b'{"q":"x"}'), packed, divergences=[meant]).name == "declared"


@pytest.mark.parametrize("outcome", ["hang", "reset"])
def test_sides_that_fail_alike_match(outcome: Any) -> None:
    assert compare(exchange(outcome=outcome), exchange(outcome=outcome), CONTRACT).name == "match"


def test_statuses_of_different_classes_are_all_that_is_told() -> None:
    verdict = compare(answered(NOTE), answered({"msg": "no"}, status=404, headers=[("x", "y")]))
    assert fields(verdict) == [("status", "status")]
    assert (verdict.differences[0].legacy, verdict.differences[0].severity) != (None, "minor")


def test_statuses_of_one_class_leave_the_rest_to_be_compared() -> None:
    assert fields(compare(answered({"a": 1}), answered({"a": 2}, status=201))) == [
        ("status", "status"),
        ("body.a", "value"),
    ]


def test_both_sides_may_break_the_contract_alike() -> None:
    wrong = answered({"_id": 7})
    verdict = compare(wrong, wrong, CONTRACT)
    assert verdict.name == "violation"
    assert [(one.backend, one.path) for one in verdict.violations] == [
        ("legacy", ("body", "_id")),
        ("native", ("body", "_id")),
    ]


def test_a_violation_is_told_beside_a_mismatch() -> None:
    verdict = compare(answered(NOTE), answered({"_id": 7}), CONTRACT)
    assert verdict.name == "mismatch"
    assert [one.backend for one in verdict.violations] == ["native"]


STRICT = operation(
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
)


@pytest.mark.parametrize(
    ("native", "path"),
    [
        (answered({"a": "one", "b": "x"}), "body.a"),
        (answered({"b": "x"}), "body.a"),
        (answered({"a": 1, "b": "x", "c": 1}), "body.c"),
        (answered({"a": {"deep": []}, "b": "x"}), "body.a"),
        (answered({"msg": "no"}, status=400), "status"),
        (exchange(b"no", "text/plain"), "*"),
    ],
)
def test_declared_divergence_may_break_the_contract(native: Exchange, path: str) -> None:
    verdict = compare(answered({"a": 1, "b": "x"}), native, STRICT, [divergence(paths=[path])])
    assert (verdict.name, verdict.declared) == ("declared", ("meant",))
    assert verdict.violations == ()
    undeclared = compare(answered({"a": 1, "b": "x"}), native, STRICT)
    assert (undeclared.name, {one.backend for one in undeclared.violations}) == ("mismatch", {"native"})


def test_other_contract_violation_counts_beside_a_declared_one() -> None:
    one, other = answered({"a": 1, "b": 7}), answered({"a": "one", "b": 7})
    verdict = compare(one, other, STRICT, [divergence(paths=["body.a"])])
    assert (verdict.name, verdict.declared) == ("violation", ("meant",))
    assert [(each.backend, each.path[-1]) for each in verdict.violations] == [
        ("legacy", "b"),
        ("native", "b"),
    ]


def test_legacy_contract_violation_counts_whatever_is_declared() -> None:
    one, other = answered({"a": "one", "b": "x"}), answered({"a": 1, "b": "x"})
    assert compare(one, other, STRICT, [divergence()]).name == "violation"


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (exchange(outcome="gone"), "client_gone"),
        (exchange(outcome="unasked"), "backend_unavailable"),
        (exchange(b"data: x\n\n", "text/event-stream; charset=utf-8"), "streaming"),
    ],
)
def test_what_cannot_be_compared_says_why(one: Exchange, reason: str) -> None:
    for verdict in (compare(one, answered(NOTE)), compare(answered(NOTE), one)):
        assert (verdict.name, verdict.reason) == ("skipped", reason)


def truncated(data: bytes, **more: Any) -> Exchange:
    plain, digests = exchange(**more), digests_of(data)
    return Exchange(
        **{name: getattr(plain, name) for name in Exchange.__slots__ if name != "body"},
        body=Body(b"", digests.length, digests.blocks(), digests.length),
    )


LARGE = b"0" * 300_000
GZIP = [("content-encoding", "gzip")]


@pytest.mark.parametrize(
    ("native", "equal_until"),
    [
        (b"1" + LARGE[1:], 0),
        (LARGE[:200_000] + b"1" + LARGE[200_001:], 3 * DIGEST_BLOCK),
        (LARGE + b"0", 4 * DIGEST_BLOCK),
        (LARGE[:-1], 4 * DIGEST_BLOCK),
    ],
)
def test_bodies_too_large_to_parse_differ_in_a_block(native: bytes, equal_until: int) -> None:
    for other in (truncated(native), exchange(native)):
        verdict = compare(truncated(LARGE), other, CONTRACT)
        assert fields(verdict) == [("body", "value")]
        assert verdict.differences[0].legacy is not None
        assert verdict.differences[0].legacy.value == {"length": len(LARGE), "equal_until": equal_until}


def test_equal_bodies_too_large_to_parse_match() -> None:
    assert compare(truncated(LARGE), truncated(LARGE), CONTRACT).name == "match"
    assert compare(truncated(LARGE), exchange(LARGE)).name == "match"
    assert fields(compare(truncated(LARGE), truncated(b"", status=500))) == [("status", "status")]


def test_body_that_unpacks_to_a_large_one_is_compared_by_digests() -> None:
    packed, other, bomb = (
        exchange(gzip.compress(data), headers=GZIP) for data in (LARGE * 7, LARGE * 7 + b"1", b"0" * 50_000_000)
    )
    assert fields(compare(packed, other)) == [("body", "value")]
    assert compare(packed, exchange(gzip.compress(LARGE * 7, 1), headers=GZIP)).name == "match"
    assert compare(bomb, answered(NOTE)).reason == "body_too_large"


def test_a_rule_that_hides_everything_is_reported() -> None:
    blind = operation({"type": "object", "x-compare": "ignore"})
    verdict = compare(answered({"a": 1}), answered({"a": 2}), blind)
    assert (verdict.name, verdict.reason, verdict.hidden) == ("skipped", "hidden", (("body",),))


def test_rules_that_together_hide_everything_are_reported() -> None:
    ignored: JSON = {"x-compare": "ignore"}
    blind = operation(properties(a=ignored, b={"type": "array", "items": ignored}))
    assert compare(answered({"a": 1, "b": [1]}), answered({"a": 2, "b": [1]}), blind).reason == "hidden"
    assert compare(answered({"a": 1, "c": 1}), answered({"a": 2, "c": 1}), blind).name == "match"


def test_what_a_rule_hides_stays_in_sight() -> None:
    rule = operation(properties(a={"x-compare": "ignore"}))
    verdict = compare(answered({"a": 1, "b": 1}), answered({"a": 2, "b": 1}), rule)
    assert (verdict.name, verdict.hidden) == ("match", (("body", "a"),))
    verdict = compare(answered({"a": 1, "b": 1}), answered({"b": 1}), rule)
    assert (verdict.name, verdict.hidden) == ("match", (("body", "a"),))


@pytest.mark.parametrize(
    ("case", "blanket"),
    [
        ({}, True),
        ({"paths": ["body.x", "**"]}, True),
        ({"paths": ["body*"]}, True),
        ({"paths": ["body.x"]}, False),
        ({"native": {"status": 500}}, False),
        ({"legacy": {"outcome": "hang"}}, False),
        ({"request": {"body": {"a": 1}}}, False),
        ({"scenario": "prompts"}, False),
    ],
)
def test_a_divergence_that_explains_anything_is_reported(case: dict[str, Any], blanket: bool) -> None:
    assert catch_all_divergences([divergence(**case)]) == (("meant",) if blanket else ())


def test_an_id_that_the_client_sent_must_come_back() -> None:
    asked, other = object_id(1), object_id(2)
    wrong = compare(
        answered({"_id": asked}, target=f"/api/notes/{asked}"),
        answered({"_id": other}, target=f"/api/notes/{asked}"),
    )
    assert fields(wrong) == [("body._id", "value")]
    for target, name in ((f"/api/notes/{asked}", "mismatch"), ("/api/notes", "match")):
        one, another = (answered({"_id": each}, target=target) for each in (asked, other))
        assert compare(one, another, mode=DRY_RUN).name == name


def test_an_id_or_a_date_from_long_ago_was_not_made_here() -> None:
    stored, other = object_id(1, NOW - 3600), object_id(2, NOW - 3600)
    assert fields(compare(answered([stored]), answered([other]))) == [("body.*", "value")]
    assert fields(compare(answered(["2020-01-01T00:00:00.000Z"]), answered(["2020-01-01T00:00:01.000Z"])))


def test_tokens_compare_by_their_claims() -> None:
    secret = "a secret of at least thirty-two bytes, as it should be"

    def login(user: str, at: int) -> Exchange:
        return answered({"token": jwt.encode({"userID": user, "iat": at, "exp": at + 3600}, secret)})

    assert fields(compare(login("a", NOW), login("a", NOW + 3))) == [("body.token", "value")]
    assert compare(login("a", NOW), login("a", NOW + 3), mode=DRY_RUN).name == "match"
    differing = compare(login("a", NOW), login("b", NOW), mode=DRY_RUN)
    assert fields(differing) == [("body.token.claims.userID", "value")]


def test_a_body_on_one_side_only_is_missing_or_extra() -> None:
    empty = exchange(b"", "")
    full = exchange(b"x", "")
    assert fields(compare(full, empty)) == [("body", "missing")]
    assert fields(compare(empty, full)) == [("body", "extra")]


def test_bodies_of_different_forms_differ_in_type() -> None:
    assert fields(compare(exchange(b"{}"), exchange(b"<p>no</p>"))) == [("body", "type")]
    assert fields(compare(exchange(b"{}"), exchange(b"{}", "text/html"))) == [("header.content-type", "header")]


def test_values_show_in_no_repr() -> None:
    verdict = compare(answered({"patient": "Agnes"}), answered({"patient": "Florence"}), CONTRACT)
    assert "Agnes" not in repr(verdict)
    assert "Florence" not in repr(verdict)


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
def test_awkward_bodies_have_a_verdict(one: str) -> None:
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
    told = [replace(breach, backend=None) for breach in verdict.violations if breach.backend == "legacy"]
    assert told == list(contract.violations(200, {"content-type": kind}, one))


@pytest.mark.parametrize("one", AWKWARD)
def test_awkward_bodies_may_differ_a_little(one: str) -> None:
    verdict = compare(exchange(AWKWARD[one] + b"x"), exchange(AWKWARD[one] + b"y"), CONTRACT)
    assert verdict.name == "mismatch"


def test_nested_arrays_that_differ_throughout_take_no_time() -> None:
    def nest(leaf: int) -> bytes:
        value: JSON = leaf
        for _ in range(150):
            value = [value, leaf]
        return json.dumps(value).encode()

    assert compare(exchange(nest(1)), exchange(nest(2))).name == "mismatch"


def test_text_that_begins_many_tokens_takes_no_time() -> None:
    text = b"eyJ-" * 60_000
    assert compare(exchange(text, "text/plain"), exchange(text + b"x", "text/plain")).name == "mismatch"


@pytest.mark.parametrize("depth", [150, 198, 199, 300, 900])
def test_values_however_deep_differ_where_they_differ(depth: int) -> None:
    one, other = (exchange(b"[" * depth + leaf + b"]" * depth) for leaf in (b"1", b"2"))
    assert compare(one, other).name == "mismatch"
    assert compare(one, one, CONTRACT).name == "violation"


def test_a_rule_beside_a_deep_value_hides_no_more_than_it_says() -> None:
    rule = operation(properties(a={"x-compare": "ignore"}))
    one, other = (exchange(b'{"a":%d,"b":%s}' % (n, b"[" * 900 + b"]" * 900)) for n in (1, 2))
    assert (compare(one, other, rule).name, compare(one, other, rule).hidden) == ("match", (("body", "a"),))


TYPES = ["application/json", "text/html", "application/x-www-form-urlencoded", "multipart/x; boundary=a", "", "a/b"]
shards = st.lists(st.sampled_from([b"{", b"}", b"[", b"]", b'"', b",", b":", b"1e400", b"a", b"--a\r\n", b"<", b"&"]))


@given(shards, shards, st.sampled_from(TYPES), st.sampled_from(TYPES), st.sampled_from(["", "gzip", "br"]))
def test_no_two_bodies_are_without_a_verdict(
    one: list[bytes], other: list[bytes], kind: str, other_kind: str, coding: str
) -> None:
    legacy = exchange(b"".join(one), kind, headers=[("content-encoding", coding)])
    native = exchange(b"".join(other), other_kind)
    there, back = compare(legacy, native), compare(native, legacy)
    assert there.name == back.name
    mirrored = {(each.path, each.kind, each.severity) for each in back.differences}
    assert {(each.path, each.kind, each.severity) for each in map(Difference.mirrored, there.differences)} == mirrored


def test_a_thousand_differences_are_enough() -> None:
    verdict = compare(answered([[n] for n in range(5000)]), answered([[str(n)] for n in range(5000)]))
    assert len(verdict.differences) == 1000


def test_the_awkward_is_told_within_a_compressed_body_too() -> None:
    packed = exchange(gzip.compress(DEEP), headers=[("content-encoding", "gzip")])
    assert fields(compare(packed, exchange(DEEP))) == [("header.content-encoding", "missing")]


def test_a_content_type_is_not_needed() -> None:
    assert compare(exchange(b"a", ""), exchange(b"b", "")).name == "mismatch"
