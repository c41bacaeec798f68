"""Problems of a routing.yaml, each with its line and key."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One problem. `line` and `column` count from 1; 0 is the whole file or line. `where` is the key, or empty."""

    line: int
    where: str
    message: str
    column: int = field(default=0, compare=False)

    def located(self, source: str, *, column: bool = False) -> str:
        """Return `file:line: where: message`, or with `column` `file:line:column: …`, which editors recognise."""
        position = f"{source}:{self.line}" if self.line else source
        if column and self.line and self.column:
            position += f":{self.column}"
        return f"{position}: {self.where}: {self.message}" if self.where else f"{position}: {self.message}"


class ConfigError(Exception):
    """Raised for an unusable configuration, with all its problems in file order."""

    def __init__(self, problems: tuple[Problem, ...], source: str = "routing.yaml") -> None:
        super().__init__(problems, source)
        self.problems = tuple(sorted(set(problems)))
        self.source = source

    def __str__(self) -> str:
        return "\n".join(problem.located(self.source, column=True) for problem in self.problems)
