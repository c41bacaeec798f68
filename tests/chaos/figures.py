"""Figures of an attack, and the bound of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from tests.chaos.target import Target

BOUNDS: Final[Mapping[str, float]] = {
    "loop lag, ms": 50,
    "RSS, MiB": 400,
    "errors of others": 0,
    "p99 of others, ratio": 2,
    "slowest 503, s": 3,
    "slowest page, s": 1,
    "failed": 0,
    "rollbacks": 0,
    "unanswered": 0,
}
"""The upper bound of each figure. A figure without a bound is for information.

If a figure's name has a colon (`failed: closed pipe`), the bound is that of the part before it.
"""

Stdout = Literal["null", "unread", "closed", "full"]

Figures = dict[str, float | str]
"""Values by name. A text is for information only."""


@dataclass(frozen=True)
class Setup:
    """The start of the gateway for one attack: lines of routing.yaml, options of `serve`, its standard output.

    `hung`: legacy accepts connections and never answers.
    """

    settings: str = ""
    options: tuple[str, ...] = ()
    stdout: Stdout = "null"
    hung: bool = False


DEFAULT_SETUP: Final = Setup()


@dataclass(frozen=True)
class Attack:
    """One attack: a function that plays it and returns figures. `quick`: part of `make coverage` too."""

    name: str
    run: Callable[[Target], Awaitable[Figures]]
    setup: Setup = DEFAULT_SETUP
    quick: bool = False


@dataclass(frozen=True)
class Row:
    """One figure of one attack. `passed` is None for a figure without a bound."""

    attack: str
    figure: str
    value: float | str
    bound: float | None

    @property
    def passed(self) -> bool | None:
        """Return True if the value is within its bound."""
        if self.bound is None or isinstance(self.value, str):
            return None
        return self.value <= self.bound

    def __str__(self) -> str:
        """Return a line of the table."""
        value = self.value if isinstance(self.value, str) else f"{self.value:,.10g}"
        bound = "" if self.bound is None else f"≤ {self.bound:g}"
        result = {True: "pass", False: "FAIL", None: ""}[self.passed]
        return f"| {self.attack:<38} | {self.figure:<34} | {value:>12} | {bound:>7} | {result:<4} |"


HEAD: Final = (
    f"| {'Attack':<38} | {'Figure':<34} | {'Value':>12} | {'Bound':>7} | {'':<4} |\n"
    f"|{'-' * 40}|{'-' * 36}|{'-' * 13}:|{'-' * 8}:|{'-' * 6}|"
)


def rows(attack: str, figures: Figures) -> Iterator[Row]:
    """Give each figure with its bound."""
    for name, value in figures.items():
        rounded = value if isinstance(value, str) else round(value, 2)
        yield Row(attack, name, rounded, BOUNDS.get(name.partition(":")[0]))
