"""Every case of the request side: in step, as the standard asks, and not worse than nginx."""

from __future__ import annotations

import logging

import pytest

from tests.conformance.case import Case
from tests.conformance.cases import cases
from tests.conformance.run import Outcome
from tests.conformance.running import assert_right, run_both

CASES = [case for case in cases() if not case.family.startswith("Answer")]
Outcomes = tuple[dict[str, Outcome], dict[str, Outcome]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    logging.disable(logging.ERROR)  # refused requests and broken answers, by the thousand
    try:
        return run_both(CASES, tmp_path_factory.mktemp("requests"))
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_request_case_is_right(case: Case, outcomes: Outcomes) -> None:
    assert_right(case, *outcomes)
