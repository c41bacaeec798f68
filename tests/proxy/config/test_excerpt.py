"""The line of a problem with a caret: at its column, also beside secrets, which are never shown."""

from __future__ import annotations

import pytest

from proxy.config.excerpt import excerpt
from proxy.config.problems import Problem

SECRET = "hunter2-hunter2-hunter2"


@pytest.mark.parametrize(
    ("line", "at", "shown", "caret"),
    [
        ("routes: [{name: a, mtach: GET /a}]", "mtach", "routes: [{name: a, mtach: •••}]", "mtach"),
        (f"overrides: {{secret: {SECRET}, heder: x-a}}", "heder", "overrides: {secret: •••, heder: •••}", "heder"),
        (f"overrides: {{secret: {SECRET}, header: 5}}", "header", "overrides: {secret: •••, header: 5}", "header"),
        (f"overrides: {{header: x, secret: {SECRET}}}", SECRET, "overrides: {header: x, secret: •••}", "•••"),
    ],
)
def test_caret_is_below_the_column_of_the_problem(line: str, at: str, shown: str, caret: str) -> None:
    text = f"legacy: {{url: http://x}}\n{line}\n"
    lines = excerpt(text, Problem(2, "", "wrong", column=line.index(at) + 1))
    assert lines == (f"    2 | {shown}", " " * (8 + shown.index(caret)) + "^")


@pytest.mark.parametrize("problem", [Problem(0, "", "whole file"), Problem(2, "", "no column"), Problem(9, "", "x", 1)])
def test_problem_without_a_position_has_no_excerpt(problem: Problem) -> None:
    assert excerpt("legacy: {url: http://x}\nfrob: 1\n", problem) == ()
