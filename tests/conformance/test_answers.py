"""Every case of the answer side: in step, and as the standard requires."""

from __future__ import annotations

import pytest

from tests.conformance.cases import FAMILIES
from tests.conformance.run import Outcome
from tests.conformance.running import assert_right, run_once

OWN_FAMILIES = [family for family in FAMILIES if family.startswith("Answer")]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    return run_once(OWN_FAMILIES, tmp_path_factory.mktemp("answers"))


@pytest.mark.parametrize("family", OWN_FAMILIES)
@pytest.mark.slow
def test_answer_cases_are_right(outcomes: list[Outcome], family: str) -> None:
    assert_right(outcomes, family)
