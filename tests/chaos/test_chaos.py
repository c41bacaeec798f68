"""The quick attacks; `make chaos` plays all of them."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.chaos.figures import BOUNDS, Row, rows
from tests.chaos.run import all_attacks, play

TIMES = re.compile(r", m?s$|, ratio$")
"""Ends of the names of figures that measure speed, which other work on the machine lowers."""
ERRORS = "errors of others"
MAX_ERRORS = 0.05
"""Share of the requests that a contended machine delays beyond a limit, as that of the database."""


@pytest.mark.slow  # the subject of each attack has its own tests
def test_quick_attacks_stay_within_their_bounds() -> None:
    attacks = [attack for attack in all_attacks() if attack.quick]
    table = asyncio.run(play(attacks))
    assert {row.attack for row in table} == {attack.name for attack in attacks}
    figures = {(row.attack, row.figure): row.value for row in table}
    compared = [row for row in table if row.bound is not None and not TIMES.search(row.figure.partition(":")[0])]
    assert {row.figure for row in compared} >= {"failed", ERRORS, "RSS, MiB"}
    assert not [row for row in compared if row.passed is False and row.figure != ERRORS]
    errors = {attack: value for (attack, figure), value in figures.items() if figure == ERRORS}
    for attack, value in errors.items():
        requests = figures[attack, "requests of others"]
        assert isinstance(value, float | int)
        assert isinstance(requests, float | int)
        assert value <= MAX_ERRORS * requests, figures.get((attack, "errors' kinds"))


@pytest.mark.parametrize("figure", BOUNDS)
def test_figure_beyond_its_bound_fails(figure: str) -> None:
    bound = BOUNDS[figure]
    assert [row.passed for row in rows("any", {figure: bound, f"{figure}: of one kind": bound + 0.1})] == [True, False]


def test_figure_without_a_bound_neither_passes_nor_fails() -> None:
    assert [row.passed for row in rows("any", {"requests": 7, "failed": "a text"})] == [None, None]
    assert "FAIL" in str(Row("any", "failed", 1, 0))


def test_names_of_attacks_are_unique() -> None:
    names = [attack.name for attack in all_attacks()]
    assert len(names) == len(set(names))
