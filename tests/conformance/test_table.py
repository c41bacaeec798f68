"""docs/conformance.md counts the existing cases, and has no fault."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from tests.conformance.cases import cases
from tests.conformance.table import case_names, family_sizes, printable

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_committed_page_counts_every_case() -> None:
    page, every = PAGE.read_text(), cases()
    assert family_sizes(page) == Counter(case.family for case in every)
    shown, names = case_names(page), [printable(case.name) for case in every]
    assert shown
    assert shown == [name for name in names if name in shown]


def test_cases_are_at_least_400_with_distinct_names() -> None:
    names = [case.name for case in cases()]
    assert len(names) == len(set(names)) >= 400


def test_committed_table_has_the_gateway_never_out_of_step() -> None:
    summary = PAGE.read_text().partition("\n## ")[0]
    match = re.search(r"\| out of step \| (\d+) \|", summary)
    assert match is not None
    assert int(match[1]) == 0
