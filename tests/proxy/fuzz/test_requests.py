"""Placeholders are filled with values of earlier answers."""

from __future__ import annotations

import pytest

from proxy.comparison.answers import DecodedAnswer
from proxy.fuzz.requests import FuzzRequest, LearnedValues

ONE, OTHER = "64b7f0f0f0f0f0f0f0f0f0f0", "64b7f0f0f0f0f0f0f0f0f0f1"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.e30.x"


def learned(*texts: str) -> LearnedValues:
    values = LearnedValues()
    for text in texts:
        values.learn(DecodedAnswer("response", 200, {"etag": 'W/"2-x"'}, text.encode()))
    return values


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("/<id 0>", f"/{ONE}"),
        ("/<id 1>", f"/{OTHER}"),
        ("/<id 2>", f"/{ONE}"),
        ("/<id 0|x>", f"/{ONE}"),
        ("/<token 0>", f"/{TOKEN}"),
        ("/<etag 5>", '/W/"2-x"'),
        ("/<opaque-tag 5>", '/"2-x"'),
        ("/<number 0>", "/7"),
        ("/<none 0>", "/"),
        ("/<none 0|default>", "/default"),
        ("/<b>x</b>", "/<b>x</b>"),
    ],
)
def test_placeholders_are_filled_from_answers(text: str, filled: str) -> None:
    values = learned(f'{{"_id":"{ONE}","a":[{{"number":7,"token":"{TOKEN}"}}]}}', f'["{OTHER}","{ONE}"]')
    request = values.fill(FuzzRequest("POST", text, (("x", text),), text))
    assert (request.target, request.headers, request.body) == (filled, (("x", filled),), filled.encode())


def test_documents_bring_the_first_ids() -> None:
    values = LearnedValues()
    values.learn_documents({"notes": [{"_id": {"$oid": OTHER}, "body": ONE}]})
    assert values.fill(FuzzRequest("GET", "/<id 0>/<id 1>/<id 2>")).target == f"/{OTHER}/{ONE}/{OTHER}"


@pytest.mark.parametrize("text", ["", "not json", "[" * 100_000, "5"])
def test_answers_without_members_add_no_values(text: str) -> None:
    assert set(learned(text).values) == {"etag", "opaque-tag"}


@pytest.mark.parametrize(("method", "body"), [("POST", b""), ("GET", None)])
def test_method_with_a_body_sends_an_empty_one(method: str, body: bytes | None) -> None:
    assert LearnedValues().fill(FuzzRequest(method, "/")).body == body


def test_header_is_replaced_or_removed() -> None:
    request = FuzzRequest("GET", "/", (("a", "1"), ("b", "2")))
    assert request.with_header("a", "3").headers == (("b", "2"), ("a", "3"))
    assert request.with_header("a", None).headers == (("b", "2"),)
