"""Show the line of a problem with a caret below it, for `check` and the log. Pure."""

from __future__ import annotations

from typing import Final

from proxy.config.credentials import MASK
from proxy.config.masking import masked_line
from proxy.config.problems import Problem

GUTTER: Final = 5
"""Digits of a line's number."""


def excerpt(text: str, problem: Problem) -> tuple[str, ...]:
    """Return the line of a problem with its secrets masked, and a caret below its column.

    Return nothing if the text has no such line, or if it cannot be printed.
    """
    line = masked_line(text, problem.line) if problem.column else None
    if line is None or not line.replace("\t", "").isprintable():
        return ()
    number = f"{problem.line:{GUTTER}} | "
    column = _shown_column(text.splitlines()[problem.line - 1], line, problem.column - 1)
    indent = "".join("\t" if sign == "\t" else " " for sign in line[:column])
    return (number + line, " " * len(number) + indent + "^")


def _shown_column(line: str, shown: str, column: int) -> int:
    """Return the column in the masked line for a column of the line; for a masked part, the mask's. Both from 0."""
    hidden = 0  # difference in length of the masks before the column
    first, *others = shown.split(MASK)
    at = len(first)
    for visible in others:
        if column < at:
            break
        begins = line.find(visible, at) if visible else len(line)
        if column < begins or begins < 0:
            return at - hidden
        hidden += begins - at - len(MASK)
        at = begins + len(visible)
    return column - hidden
