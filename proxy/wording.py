"""Phrases in messages to people. This module imports nothing from the project."""

from __future__ import annotations


def counted(number: int, noun: str, spec: str = "") -> str:
    """Return `1 route` or `2 routes`; `spec` formats the number, as `,` does."""
    if number == 1:
        return f"{number} {noun}"
    return f"{number:{spec}} {noun}{'es' if noun.endswith('ch') else 's'}"
