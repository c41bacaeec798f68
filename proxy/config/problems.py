"""Problems of a routing.yaml, with the line and key of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault. `line` counts from 1, 0 is the file as a whole; `where` is the key, and may be empty."""

    line: int
    where: str
    message: str

    def located(self, source: str) -> str:
        """`file:line: where: message`, as compilers print it, for editors to jump to."""
        position = f"{source}:{self.line}" if self.line else source
        return f"{position}: {self.where}: {self.message}" if self.where else f"{position}: {self.message}"


class ConfigError(Exception):
    """A configuration that cannot be used, with every problem found in it, in file order."""

    def __init__(self, problems: tuple[Problem, ...], source: str = "routing.yaml") -> None:
        super().__init__(problems, source)
        self.problems = tuple(sorted(set(problems)))
        self.source = source

    def __str__(self) -> str:
        return "\n".join(problem.located(self.source) for problem in self.problems)
