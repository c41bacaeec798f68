"""Phrases in messages to people. This module imports nothing from the project."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

ROLLOUT_EVENTS: Final[Mapping[str, str]] = {
    "start": "rollout started",
    "promotion": "promoted",
    "gate": "gate failed",
    "pause": "paused",
    "resume": "resumed",
    "cap": "capped",
    "rollback": "rolled back",
    "ack": "acknowledged",
    "release": "cap removed",
}
"""Events of rollouts in words, for the history, ops pages, log and webhook."""


def counted(number: int, noun: str, spec: str = "") -> str:
    """Return `1 route` or `2 routes`; `spec` formats the number, as `,` does."""
    if number == 1:
        return f"{number} {noun}"
    return f"{number:{spec}} {noun}{'es' if noun.endswith('ch') else 's'}"


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that a mistyped one resembles most; None if it resembles none."""
    import difflib  # a slow import, which most commands do not need

    return next(iter(difflib.get_close_matches(word, list(known), 1)), None)


def did_you_mean(word: str, known: Iterable[str], shown: Callable[[str], str] = str) -> str:
    """Return `; did you mean X?` for the closest known word as `shown`; empty if there is none."""
    close = closest(word, known)
    return f"; did you mean {shown(close)}?" if close else ""
