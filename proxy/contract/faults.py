"""Faults in a contract, each with its file and line, reported together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from proxy.config.problems import Problem


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One problem in one file."""

    file: Path
    problem: Problem

    def __str__(self) -> str:
        """Return `file:line: where: message`."""
        return self.problem.located(str(self.file))


class ContractError(Exception):
    """A contract, or a file beside it, that is unusable; `faults` has every fault, in file order."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(faults)
        self.faults = tuple(sorted(set(faults)))

    def __str__(self) -> str:
        return "\n".join(map(str, self.faults))
