"""Verdicts on two exchanges, with their reasons and unexplained differences."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest

from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import catch_all_divergences, compare
from proxy.comparison.modes import DRY_RUN
from proxy.comparison.verdicts import Verdict
from proxy.contract.divergences import Divergence
from proxy.types import JSON
from tests.support.exchanges import NOW, answered, exchange, fields, object_id, operation, properties

CONTRACT = operation(properties(_id={"type": "string", "format": "objectid"}, body={"type": "string"}))
NOTE: JSON = {"_id": object_id(1), "body": "Rest and fluids."}


def divergence(**case: Any) -> Divergence:
    placeholders = dict.fromkeys(("legacy", "native", "reason", "since"), "-")
    return Divergence.model_validate({"id": "meant", "operation": "GET /api/notes", "when": [case], **placeholders})


def test_equal_answers_match() -> None:
    assert compare(answered(NOTE), answered(NOTE), CONTRACT) == Verdict("match")


def test_different_answers_are_a_mismatch() -> None:
    verdict = compare(answered(NOTE), answered({**NOTE, "body": 1} if isinstance(NOTE, dict) else None))
    assert (verdict.name, fields(verdict)) == ("mismatch", [("body.body", "type")])
    assert verdict.unexplained == verdict.differences
    assert verdict.differences[0].severity == "breaking"


def test_three_faults_in_one_answer_are_three_differences() -> None:
    items: list[dict[str, JSON]] = [{"_id": object_id(n), "body": f"note {n}", "count": n} for n in range(4)]
    broken: list[JSON] = [{"_id": one["_id"], "text": one["body"], "count": str(one["count"])} for one in items]
    verdict = compare(answered({"notes": list(items)}), answered({"notes": broken[::-1]}))
    assert set(fields(verdict)) == {
        ("body.notes.*.body", "missing"),
        ("body.notes.*.text", "extra"),
        ("body.notes.*.count", "type"),
        ("body.notes", "order"),
    }


def test_declared_difference_is_declared() -> None:
    verdict = compare(answered({"a": 1}), answered({"a": 2}), divergences=[divergence(native={"body": {"a": 2}})])
    assert (verdict.name, verdict.declared, verdict.unexplained) == ("declared", ("meant",), ())
    assert fields(verdict) == [("body.a", "value")]


def test_divergence_explains_the_named_paths_only() -> None:
    meant = divergence(paths=["body.notes.*.a"])
    verdict = compare(
        answered({"notes": [{"a": 1, "b": 1}]}), answered({"notes": [{"a": 2, "b": 2}]}), divergences=[meant]
    )
    assert (verdict.name, verdict.declared) == ("mismatch", ("meant",))
    assert [one.field for one in verdict.unexplained] == ["body.notes.*.b"]


def test_hanging_legacy_is_recognised_by_a_divergence() -> None:
    meant = divergence(legacy={"outcome": "hang"}, native={"status": 200})
    verdict = compare(exchange(outcome="hang"), answered({"msg": "wrong credentials"}), divergences=[meant])
    assert (verdict.name, fields(verdict)) == ("declared", [("outcome", "outcome")])
    assert compare(exchange(outcome="reset"), answered({}), divergences=[meant]).name == "mismatch"


def test_divergence_reads_compressed_answers_and_the_request() -> None:
    meant = divergence(request={"body": {"q": "x"}}, native={"body": {"a": 2}})
    packed = exchange(gzip.compress(b'{"a":2}'), headers=[("content-encoding", "gzip")], sent=b'{"q":"x"}')
    assert compare(answered({"a": 1}, sent=b'{"q":"x"}'), packed, divergences=[meant]).name == "declared"


@pytest.mark.parametrize("outcome", ["hang", "reset"])
def test_sides_that_fail_alike_match(outcome: Any) -> None:
    assert compare(exchange(outcome=outcome), exchange(outcome=outcome), CONTRACT).name == "match"


def test_statuses_of_different_classes_are_the_only_difference() -> None:
    verdict = compare(answered(NOTE), answered({"msg": "no"}, status=404, headers=[("x", "y")]))
    assert fields(verdict) == [("status", "status")]
    assert (verdict.differences[0].legacy, verdict.differences[0].severity) != (None, "minor")


def test_statuses_of_one_class_are_compared_with_the_body() -> None:
    assert fields(compare(answered({"a": 1}), answered({"a": 2}, status=201))) == [
        ("status", "status"),
        ("body.a", "value"),
    ]


def test_both_backends_can_violate_the_contract_alike() -> None:
    wrong = answered({"_id": 7})
    verdict = compare(wrong, wrong, CONTRACT)
    assert verdict.name == "violation"
    assert [(one.backend, one.path) for one in verdict.violations] == [
        ("legacy", ("body", "_id")),
        ("native", ("body", "_id")),
    ]


def test_violation_is_listed_beside_a_mismatch() -> None:
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


def test_undeclared_legacy_violation_is_a_violation() -> None:
    one, other = answered({"a": "one", "b": "x"}), answered({"a": 1, "b": "x"})
    assert compare(one, other, STRICT, [divergence()]).name == "violation"


@pytest.mark.parametrize(
    ("legacy", "pattern", "counts"),
    [
        (answered({"error": "x"}, status=500), {"status": 500}, False),
        (answered({"error": "x"}, status=500), {"body": {"error": "x"}}, True),
        (answered({"a": "one", "b": "x"}), {"body": {"a": "one"}}, False),
        (answered({"a": "one", "b": "x"}), {"status": 200, "body": {"b": "x"}}, True),
        (answered({"a": [{"c": 1}], "b": "x"}), {"body": {"a": [{"c": 1}]}}, False),
        (answered({"b": "x"}), {"status": 200, "body": {"b": "x"}}, False),
        (answered({"b": "x"}), {"status": 200}, True),
    ],
)
def test_legacy_violation_counts_unless_a_divergence_states_it(
    legacy: Exchange, pattern: dict[str, JSON], counts: bool
) -> None:
    unavailable = answered({"error": "database_unavailable"}, status=503)
    verdict = compare(legacy, unavailable, STRICT, [divergence(legacy=pattern, native={"status": 503})])
    assert (verdict.name, verdict.declared) == ("violation" if counts else "declared", ("meant",))
    assert {one.backend for one in verdict.violations} == ({"legacy"} if counts else set())


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (exchange(outcome="gone"), "client_gone"),
        (exchange(outcome="unasked"), "backend_unavailable"),
        (exchange(b"data: x\n\n", "text/event-stream; charset=utf-8"), "streaming"),
    ],
)
def test_skipped_comparison_has_a_reason(one: Exchange, reason: str) -> None:
    for verdict in (compare(one, answered(NOTE)), compare(answered(NOTE), one)):
        assert (verdict.name, verdict.reason) == ("skipped", reason)


def test_rule_that_hides_everything_is_reported() -> None:
    blind = operation({"type": "object", "x-compare": "ignore"})
    verdict = compare(answered({"a": 1}), answered({"a": 2}), blind)
    assert (verdict.name, verdict.reason, verdict.hidden) == ("skipped", "hidden", (("body",),))


def test_rules_that_together_hide_everything_are_reported() -> None:
    ignored: JSON = {"x-compare": "ignore"}
    blind = operation(properties(a=ignored, b={"type": "array", "items": ignored}))
    assert compare(answered({"a": 1, "b": [1]}), answered({"a": 2, "b": [1]}), blind).reason == "hidden"
    assert compare(answered({"a": 1, "c": 1}), answered({"a": 2, "c": 1}), blind).name == "match"


def test_ignored_field_is_listed_as_hidden() -> None:
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
def test_divergence_that_explains_anything_is_reported(case: dict[str, Any], blanket: bool) -> None:
    assert catch_all_divergences([divergence(**case)]) == (("meant",) if blanket else ())


def test_id_sent_by_the_client_must_be_returned() -> None:
    requested, other = object_id(1), object_id(2)
    wrong = compare(
        answered({"_id": requested}, target=f"/api/notes/{requested}"),
        answered({"_id": other}, target=f"/api/notes/{requested}"),
    )
    assert fields(wrong) == [("body._id", "value")]
    for target, name in ((f"/api/notes/{requested}", "mismatch"), ("/api/notes", "match")):
        one, another = (answered({"_id": each}, target=target) for each in (requested, other))
        assert compare(one, another, mode=DRY_RUN).name == name


def test_old_id_or_date_does_not_count_as_generated() -> None:
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


def test_body_of_one_backend_is_missing_or_extra() -> None:
    empty = exchange(b"", "")
    full = exchange(b"x", "")
    assert fields(compare(full, empty)) == [("body", "missing")]
    assert fields(compare(empty, full)) == [("body", "extra")]


def test_bodies_of_different_forms_differ_in_type() -> None:
    assert fields(compare(exchange(b"{}"), exchange(b"<p>no</p>"))) == [("body", "type")]
    assert fields(compare(exchange(b"{}"), exchange(b"{}", "text/html"))) == [("header.content-type", "header")]


def test_values_are_absent_from_reprs() -> None:
    verdict = compare(answered({"patient": "Agnes"}), answered({"patient": "Florence"}), CONTRACT)
    assert "Agnes" not in repr(verdict)
    assert "Florence" not in repr(verdict)


def test_content_type_is_not_needed() -> None:
    assert compare(exchange(b"a", ""), exchange(b"b", "")).name == "mismatch"


def test_head_of_a_coded_answer_differs_in_the_coding_only() -> None:
    plain = exchange(method="HEAD")
    coded = exchange(method="HEAD", headers=[("content-encoding", "gzip")])
    assert fields(compare(plain, coded)) == [("header.content-encoding", "extra")]
    assert fields(compare(coded, plain)) == [("header.content-encoding", "missing")]


@pytest.mark.parametrize("made", [-1.5, 0.0, 0.999, 2.4])
def test_legacys_time_lies_within_the_second_of_its_date(made: float) -> None:
    # `Date` has whole seconds: the answer was made half a second later on average
    date = [("date", "Sun, 22 Nov 2026 19:41:09 GMT")]
    at = datetime(2026, 11, 22, 19, 41, 9, tzinfo=UTC).timestamp()
    legacy, native = (
        answered({"createdAt": f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"}, headers=date)
        for second in (at + made, NOW + 0.05)
    )
    assert fields(compare(legacy, native, mode=DRY_RUN)) == []
    early = answered({"createdAt": "2026-11-22T19:41:07.400Z"}, headers=date)
    assert fields(compare(early, native, mode=DRY_RUN)) == [("body.createdAt", "value")]
