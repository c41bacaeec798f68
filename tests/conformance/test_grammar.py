"""Generated requests and answers, valid and mutated, never put a connection out of step."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise

import pytest
import uvloop
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.conformance.case import Case, personal
from tests.conformance.conversation import converse
from tests.conformance.delivery import GLUED, WHOLE, Delivery
from tests.conformance.entrances import Entrance, gateway_entrance
from tests.conformance.grammar import (
    mutated_answers,
    mutated_pipelines,
    mutated_requests,
    valid_answers,
    valid_requests,
)
from tests.conformance.judgement import Evidence, Finding, Verdict, judge
from tests.conformance.oracle import Oracle, node_oracle
from tests.conformance.pipelines import play_on_gateway, play_on_node
from tests.conformance.run import next_token, read_recording
from tests.conformance.upstream import Recording

generated = settings(deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True, slots=True)
class Harness:
    """A gateway for a whole module, on its own event loop."""

    runner: asyncio.Runner
    entrance: Entrance
    oracle: Oracle | None

    def judge(self, case: Case, sending: Delivery, answering: Delivery) -> Finding:
        """Deliver a case and return the verdict on it and on all that reached the upstream meanwhile."""
        recordings, forwarded = self.entrance.upstream.recordings, self.entrance.forwarded
        assert forwarded is not None
        del recordings[:-1]  # the pool keeps at most one
        marks, believed = [len(each.segments) for each in recordings], len(forwarded.requests)
        timeout = OPEN_TIMEOUT if case.is_open else None
        talk = self.runner.run(converse(self.entrance, case, next_token(), sending, answering, timeout))
        marks += [0] * (len(recordings) - len(marks))
        news = [Recording(each.segments[mark:], each.ended) for each, mark in zip(recordings, marks, strict=True)]
        reached = tuple(read for each in news for read in read_recording(each, self.oracle))
        return judge(Evidence(talk, reached, tuple(forwarded.requests[believed:])), exact=True)


OPEN_TIMEOUT = 0.1
"""Seconds to wait for the answers to a mutated request, which may well be unfinished."""


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    logging.disable(logging.ERROR)
    stack = AsyncExitStack()
    with node_oracle() as oracle, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        entrance = runner.run(stack.enter_async_context(gateway_entrance(tmp_path_factory.mktemp("grammar"))))
        yield Harness(runner, entrance, oracle)
        runner.run(stack.aclose())
    logging.disable(logging.NOTSET)


def deliveries(data: bytes) -> st.SearchStrategy[Delivery]:
    split = st.integers(1, max(1, len(data) - 1)).map(lambda at: Delivery("split", at))
    return st.one_of(st.just(WHOLE), st.just(GLUED), st.just(Delivery("bytes")), split)


def assert_in_step(harness: Harness, case: Case, sending: Delivery, answering: Delivery) -> None:
    finding = harness.judge(case, sending, answering)
    assert finding.verdict is Verdict.RIGHT, finding.reason


@generated
@given(st.data())
def test_valid_requests_each_get_their_answer(harness: Harness, data: st.DataObject) -> None:
    case = data.draw(valid_requests())
    assert_in_step(harness, case, data.draw(deliveries(personal(case.sent, b"id0000000"))), WHOLE)


@generated
@given(st.data())
def test_mutated_requests_keep_connections_in_step(harness: Harness, data: st.DataObject) -> None:
    case = data.draw(mutated_requests())
    assert_in_step(harness, case, data.draw(deliveries(personal(case.sent, b"id0000000"))), WHOLE)


@generated
@given(mutated_pipelines(), st.lists(st.floats(0, 1), max_size=3))
def test_mutated_pipelines_are_answered_as_by_node(harness: Harness, sent: bytes, cuts: list[float]) -> None:
    if harness.oracle is None:
        pytest.skip("Node is not installed")
    node = play_on_node(harness.oracle, sent)
    assume(not node.is_declared(sent))
    bounds = sorted({0, len(sent), *(int(len(sent) * cut) for cut in cuts)})
    pieces = [sent[start:end] for start, end in pairwise(bounds)]
    assert harness.runner.run(play_on_gateway(harness.entrance, harness.oracle, pieces, node)) == node.outcome


@generated
@given(st.data())
def test_valid_answers_arrive_unchanged(harness: Harness, data: st.DataObject) -> None:
    case = data.draw(valid_answers())
    assert case.answer is not None
    assert_in_step(harness, case, WHOLE, data.draw(deliveries(case.answer)))


@generated
@given(st.data())
def test_mutated_answers_keep_connections_in_step(harness: Harness, data: st.DataObject) -> None:
    case = data.draw(mutated_answers())
    assert case.answer is not None
    assert_in_step(harness, case, WHOLE, data.draw(deliveries(case.answer).filter(lambda each: not each.glues)))
