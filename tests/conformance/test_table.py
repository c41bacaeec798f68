"""docs/conformance.md lists the existing cases, and no fault."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conformance.cases import cases
from tests.conformance.table import case_names, printable

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_committed_table_shows_every_case() -> None:
    assert case_names(PAGE.read_text()) == [printable(case.name) for case in cases()]


def test_cases_are_at_least_400_with_distinct_names() -> None:
    names = [case.name for case in cases()]
    assert len(names) == len(set(names)) >= 400


def test_committed_table_has_the_gateway_never_out_of_step() -> None:
    summary = PAGE.read_text().partition("\n## ")[0]
    match = re.search(r"\| out of step \| (\d+) \|", summary)
    assert match is not None
    assert int(match[1]) == 0
