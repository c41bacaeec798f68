"""Every case of the request side: in step, and as the standard requires."""

from __future__ import annotations

import pytest

from tests.conformance.cases import FAMILIES
from tests.conformance.run import Outcome
from tests.conformance.running import assert_right, run_once

OWN_FAMILIES = [family for family in FAMILIES if not family.startswith("Answer")]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    return run_once(OWN_FAMILIES, tmp_path_factory.mktemp("requests"))


@pytest.mark.parametrize("family", OWN_FAMILIES)
def test_request_cases_are_right(outcomes: list[Outcome], family: str) -> None:
    assert_right(outcomes, family)
