"""A difference is declared exactly where a divergence describes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.verdicts import Difference, LocatedValue
from proxy.contract.divergences import (
    Divergence,
    DivergenceError,
    Occurrence,
    covers,
    explain,
    load,
    matches,
    operation_of,
)
from proxy.recordings.model import RecordedRequest
from proxy.types import JSON, DifferenceKind

LOGIN = """
- id: login-wrong-password
  operation: POST /users/login
  legacy: never answers
  native: answers
  reason: a client that waits for ever learns nothing
  since: 2026-11-01
  when:
    request: {headers: {authorization: null}, body: {email: "*"}}
    legacy: {outcome: hang}
    native: {status: 200, body: {msg: wrong credentials}}
"""
STORE = """
- id: tokens-expire
  operation: POST /users/logout
  legacy: keeps tokens for ever
  native: lets them expire
  reason: the list grows
  since: "0.1"
  when:
    - {operation: STORE blacktokens, scenario: "logout*", paths: "store.blacktokens.*.expires_at"}
    - operation: GET /users/profile
      legacy: {status: 200}
      native: {status: 401, headers: {content-type: "/^application.json/"}}
"""
REQUEST = RecordedRequest("POST", "/users/login", body=b'{"email":"a@b.c"}')
ANSWER = DecodedAnswer("response", 200, {"content-type": "application/json"}, b'{"msg":"wrong credentials","more":1}')
HANG = DecodedAnswer("hang")


def difference(path: str, kind: DifferenceKind) -> Difference:
    steps = tuple(path.split("."))
    return Difference(steps, kind, "major", LocatedValue(steps, "a"), LocatedValue(steps, "b"))


OUTCOME = difference("outcome", "outcome")


def read(tmp_path: Path, text: str) -> tuple[Divergence, ...]:
    file = tmp_path / "divergences.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file)


def login(
    request: RecordedRequest = REQUEST, legacy: DecodedAnswer = HANG, native: DecodedAnswer = ANSWER
) -> Occurrence:
    return Occurrence("POST /users/login", "any", (request, legacy, native))


def test_difference_matching_a_case_is_declared(tmp_path: Path) -> None:
    explanation = explain(read(tmp_path, LOGIN), login(), [OUTCOME])
    assert (explanation.declared, explanation.unexplained) == (("login-wrong-password",), ())


@pytest.mark.parametrize(
    "occurrence",
    [
        Occurrence("POST /users/register", "any", (REQUEST, DecodedAnswer("hang"), ANSWER)),
        login(legacy=DecodedAnswer("reset")),
        login(native=DecodedAnswer("response", 500, ANSWER.headers, ANSWER.body)),
        login(native=DecodedAnswer("response", 200, ANSWER.headers, b'{"msg":"other"}')),
        login(native=DecodedAnswer("response", 200, {}, ANSWER.body)),
        login(RecordedRequest("POST", "/users/login", body=b"{}")),
        login(RecordedRequest("POST", "/users/login", body=b"not json")),
        login(RecordedRequest("POST", "/users/login", (("authorization", "Bearer x"),), REQUEST.body)),
    ],
)
def test_difference_outside_the_case_is_unexplained(tmp_path: Path, occurrence: Occurrence) -> None:
    explanation = explain(read(tmp_path, LOGIN), occurrence, [OUTCOME])
    assert (explanation.declared, explanation.unexplained) == ((), (OUTCOME,))


def test_case_can_explain_some_differences_only(tmp_path: Path) -> None:
    expires = difference("store.blacktokens.0.expires_at", "extra")
    other = difference("store.blacktokens.0.token", "missing")
    divergences = read(tmp_path, STORE)
    explanation = explain(divergences, Occurrence("STORE blacktokens", "logout"), [expires, other])
    assert (explanation.declared, explanation.unexplained) == (("tokens-expire",), (other,))
    assert explain(divergences, Occurrence("STORE blacktokens", "logout"), [other]).declared == ()
    assert explain(divergences, Occurrence("STORE blacktokens", "login"), [expires]).unexplained == (expires,)
    assert explain(divergences, Occurrence("STORE users", "logout"), [expires]).unexplained == (expires,)


@pytest.mark.parametrize(
    ("kind", "value", "declared"),
    [
        ("order", {"type": "a", "late": True}, True),
        ("missing", {"type": "a"}, False),
        ("order", {"type": "b"}, False),
        ("order", b"a", False),
    ],
)
def test_case_explains_differences_of_a_kind_and_value(
    tmp_path: Path, kind: DifferenceKind, value: JSON | bytes, declared: bool
) -> None:
    case = "when: {kinds: order, value: {type: a}}"
    (entry,) = read(tmp_path, LOGIN[: LOGIN.index("when")] + case)
    path = ("frames", 3)
    one = Difference(path, kind, "major", LocatedValue(path, value), LocatedValue(path, {"type": "c"}))
    assert bool(explain([entry], login(), [one]).declared) is declared


@pytest.mark.parametrize(("headers", "declared"), [({"content-type": "application/json"}, True), ({}, False)])
def test_side_effect_has_its_own_operation(tmp_path: Path, headers: dict[str, str], declared: bool) -> None:
    exchange = (
        RecordedRequest("GET", "/users/profile"),
        DecodedAnswer("response", 200),
        DecodedAnswer("response", 401, headers),
    )
    occurrence = Occurrence("GET /Users/Profile/", "", exchange)
    assert bool(explain(read(tmp_path, STORE), occurrence, [OUTCOME]).declared) is declared


def test_empty_file_declares_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "") == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- id: x", "entry 0.operation: Field required"),
        ("{}: [", "divergences.yaml"),
        (LOGIN.replace("outcome: hang", "outcome: hung"), "entry 0.when.0.legacy.outcome"),
        (LOGIN.replace("  reason:", "  raison:"), "raison"),
        (LOGIN.replace("wrong credentials}", '"/(/"}'), "entry 0.when.0.native.body"),
        (LOGIN.replace('"*"', "[/(/]"), "unterminated subpattern"),
        (LOGIN[: LOGIN.index("  when")] + "  when: []", "at least 1 item"),
        (LOGIN + LOGIN, "id login-wrong-password is given twice"),
        ("just text", "valid tuple"),
    ],
)
def test_invalid_file_is_reported(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(DivergenceError) as caught:
        read(tmp_path, text)
    assert expected in str(caught.value)


def test_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DivergenceError):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("template", "operation", "covered"),
    [
        ("GET /notes/{id}", "GET /notes/17", True),
        ("GET /notes/{id}", "get /NOTES/17/", True),
        ("GET /notes/{id}", "GET /notes/", False),
        ("GET /notes/{id}", "GET /notes/1/2", False),
        ("GET /notes/{id}", "PUT /notes/1", False),
        ("GET /a.b", "GET /axb", False),
        ("STORE notes", "STORE notes", True),
    ],
)
def test_templates_cover_as_express_matches(template: str, operation: str, covered: bool) -> None:
    assert covers(template, operation) is covered


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a/b?c=d?e", "/a/b"),
        ("/a/b#c?d", "/a/b"),
        ("/a?b#c", "/a"),
        ("HTTP://u@host:1/a/b?c", "/a/b"),
        ("http://host", "/"),
        ("http://host?a", "/"),
        ("/a/http://b/c", "/a/http://b/c"),
        ("*", "*"),
    ],
)
def test_operation_excludes_origin_query_and_fragment(target: str, path: str) -> None:
    assert operation_of("GET", target) == f"GET {path}"


@pytest.mark.parametrize(
    ("pattern", "value", "held"),
    [
        ("*", None, True),
        ("a", "a", True),
        ("a", "b", False),
        ("/^a+$/", "aa", True),
        ("/^a+$/", 1, False),
        ("/", "/", True),
        (1, 1, True),
        (1, True, False),
        (1, 1.0, False),
        (None, None, True),
        ({"a": "*"}, {"a": 1, "b": 2}, True),
        ({"a": "*"}, {}, False),
        ({"a": 1}, [], False),
        ([1, "*"], [1, 2], True),
        ([1], [1, 2], False),
        ([1], 1, False),
    ],
)
def test_patterns_match_as_documented(pattern: JSON, value: JSON, held: bool) -> None:
    assert matches(pattern, value) is held
