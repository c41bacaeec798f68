"""Every case of the answer side: in step, and as the standard requires."""

from __future__ import annotations

import logging

import pytest

from tests.conformance.case import Case
from tests.conformance.cases import cases
from tests.conformance.run import Outcome
from tests.conformance.running import assert_right, run_once

CASES = [case for case in cases() if case.family.startswith("Answer")]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    logging.disable(logging.ERROR)  # refused requests and broken answers, by the thousand
    try:
        return run_once(CASES, tmp_path_factory.mktemp("answers"))
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_answer_case_is_right(case: Case, outcomes: dict[str, Outcome]) -> None:
    assert_right(outcomes[case.name])
