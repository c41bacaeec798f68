"""Results are counted by endpoint, and endpoints are named by template."""

from __future__ import annotations

import pytest

from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.verdicts import Difference, LocatedValue
from proxy.recordings.model import RecordedRequest, Recordings, Scenario, Step
from proxy.recordings.report import (
    CALLS,
    STORE,
    Endpoints,
    Report,
    Result,
    ResultCounts,
    Subject,
    value_texts,
)

ONE, TWO = (
    Difference(path, "value", "major", LocatedValue(path, 1), LocatedValue(path, 2))
    for path in (("body", "a"), ("body", "b"))
)
ID = "6b034563940a5b5bf227fda4"


def result(subject: Subject = "step", endpoint: str = "GET /a", *differences: Difference, left: int = 0) -> Result:
    return Result(
        subject, "s", "n", endpoint, "/a", differences, ("d",) if left < len(differences) else (), differences[:left]
    )


def recorded(*requests: tuple[str, str]) -> Recordings:
    steps = tuple(Step("n", RecordedRequest(method, target), DecodedAnswer("hang")) for method, target in requests)
    return Recordings((Scenario("s", steps, {}, [], {}, None),))


def test_verdict_depends_on_unexplained_differences() -> None:
    assert result().verdict == "equal"
    assert result("step", "GET /a", ONE, TWO).verdict == "declared"
    assert result("step", "GET /a", ONE, TWO, left=1).verdict == "differing"


def test_results_are_counted_by_subject_and_by_endpoint() -> None:
    report = Report((
        result("calls", CALLS),
        result("store", STORE, ONE),
        result("step", "POST /b"),
        result("step", "GET /b", ONE, left=1),
        result("step", "GET /a"),
        result("step", "GET /a"),
    ))  # fmt: skip
    assert list(report.by_endpoint().items()) == [
        ("GET /a", ResultCounts(2, 0, 0)),
        ("GET /b", ResultCounts(0, 0, 1)),
        ("POST /b", ResultCounts(1, 0, 0)),
        (CALLS, ResultCounts(1, 0, 0)),
        (STORE, ResultCounts(0, 1, 0)),
    ]
    assert list(report.by_subject()) == ["step", "store", "calls"]
    assert report.by_subject()["step"].total == 4
    assert [one.endpoint for one in report.differing] == ["GET /b"]


def test_json_lists_all_unequal_results() -> None:
    report = Report((result(), result("step", "GET /b", ONE, TWO, left=1)), 1.23456, ("unused",))
    assert report.as_json() == {
        "equal": 1,
        "declared": 0,
        "differing": 1,
        "seconds": 1.235,
        "subjects": {"step": {"equal": 1, "declared": 0, "differing": 1}},
        "endpoints": {
            "GET /a": {"equal": 1, "declared": 0, "differing": 0},
            "GET /b": {"equal": 0, "declared": 0, "differing": 1},
        },
        "results": [
            {
                "subject": "step",
                "scenario": "s",
                "step": "n",
                "endpoint": "GET /b",
                "target": "/a",
                "verdict": "differing",
                "declared": ["d"],
                "differences": [
                    {
                        "path": "body.a",
                        "kind": "value",
                        "severity": "major",
                        "recorded": "1",
                        "live": "2",
                        "declared": False,
                    },
                    {
                        "path": "body.b",
                        "kind": "value",
                        "severity": "major",
                        "recorded": "1",
                        "live": "2",
                        "declared": True,
                    },
                ],
            }
        ],
        "unobserved_divergences": ["unused"],
    }


@pytest.mark.parametrize(
    ("method", "target", "name"),
    [
        ("GET", f"/notes/{ID}?x={ID}", "GET /notes/{id}"),
        ("GET", "/notes/abc", "GET /notes/{id}"),
        ("GET", "/Notes/abc/", "GET /notes/{id}"),
        ("POST", "/notes/start", "POST /notes/start"),
        ("GET", "/notes", "GET /notes"),
        ("GET", "/", "GET /"),
    ],
)
def test_segment_that_is_an_id_somewhere_is_a_parameter(method: str, target: str, name: str) -> None:
    endpoints = Endpoints.learn(recorded(("GET", f"/notes/{ID}"), ("POST", "/notes/start"), ("GET", "/")))
    assert endpoints.name(method, target) == name


def test_texts_are_quoted_where_the_types_differ() -> None:
    path, spots = ("body", "count"), (LocatedValue(("body", "count"), 2), LocatedValue(("body", "count"), "2"))
    assert value_texts(Difference(path, "type", "breaking", *spots)) == ("2", '"2"')
    assert value_texts(Difference(path, "value", "major", *spots)) == ("2", "2")
    assert value_texts(Difference(path, "missing", "breaking", spots[0])) == ("2", "")
