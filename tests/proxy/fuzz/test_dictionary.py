"""Requests drawn from recordings stay requests, whatever is replaced in them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hypothesis import find, given, settings
from hypothesis import strategies as st

from proxy.fuzz.dictionary import Dictionary
from proxy.fuzz.plugin import Plugin
from proxy.fuzz.requests import FuzzRequest
from proxy.fuzz.sources import Sources
from proxy.recordings import model
from tests.support.profile import examples

RECORDED: Final = Dictionary.learn(model.load(Path(__file__).parents[3] / "contracts" / "recordings"))
REQUESTS: Final = Sources({}, RECORDED, Plugin()).requests()


def test_dictionary_has_distinct_requests_values_and_documents() -> None:
    assert len(set(RECORDED.requests)) == len(RECORDED.requests) > 200
    assert "correct horse" in RECORDED.values["password"]
    assert any("consultations" in documents for documents in RECORDED.documents)
    assert all(len(request.body or "") <= 32 * 1024 for request in RECORDED.requests)


@settings(max_examples=examples(100))
@given(REQUESTS)
def test_drawn_request_can_be_sent(request: FuzzRequest) -> None:
    assert request.target.startswith("/") or request.method == "OPTIONS"
    (request.body or "").encode("latin-1")


def test_request_mutations_are_all_drawn() -> None:
    bodies = {request.body for request in RECORDED.requests}
    methods = {(request.method, request.target) for request in RECORDED.requests}
    for condition in (
        lambda request: "<id " in request.target,
        lambda request: request.body not in bodies,
        lambda request: (request.method, request.target) not in methods and "<id" not in request.target,
    ):
        find(REQUESTS, condition, settings=settings(max_examples=2000))


def test_documents_are_recorded_ones_without_a_plugin() -> None:
    documents = Sources({}, RECORDED, Plugin()).documents()
    find(documents, lambda drawn: drawn == {})
    find(documents, lambda drawn: "users" in drawn)
    own = Sources({}, RECORDED, Plugin(documents=st.just({"a": [1]}))).documents()
    assert find(own, lambda drawn: True) == {"a": [1]}
    find(own, lambda drawn: "users" in drawn)
