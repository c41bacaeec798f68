"""Coverage of a run: answers of the legacy by operation and status. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from proxy.contract.model import Contract, Operation
from proxy.fuzz.execution import Execution
from proxy.inference.checking import CoverageRow, coverage
from proxy.recordings.model import Recordings


@dataclass
class FuzzCoverage:
    """Counters by the operation's name and the status or outcome."""

    observed: Counter[tuple[str, str]] = field(default_factory=Counter)
    outside: int = 0

    def count(self, execution: Execution, contract: Contract) -> None:
        """Add an execution's answers; those outside the contract are counted together."""
        for step in execution.scenario.steps:
            status = str(step.answer.status) if step.answer.outcome == "response" else step.answer.outcome
            self._add(contract.operation(step.request.method, step.request.target), status)
        if execution.conversation is not None:
            status = str(execution.handshake_status or "reset")
            self._add(contract.operation("WS", execution.conversation.target), status)

    def _add(self, operation: Operation | None, status: str) -> None:
        if operation is None:
            self.outside += 1
        else:
            self.observed[operation.name, status] += 1

    def rows(self, contract: Contract) -> list[CoverageRow]:
        """Return a row for every operation and status that is declared or was answered."""
        declared = coverage(contract, Recordings())
        counted = [replace(row, samples=self.observed[row.operation.name, row.status]) for row in declared]
        listed = {(row.operation.name, row.status) for row in counted}
        operations = {operation.name: operation for operation in _operations(contract)}
        extra = [
            CoverageRow(operations[name], status, count, declared=not status.isdecimal())
            for (name, status), count in sorted(self.observed.items())
            if (name, status) not in listed and name in operations
        ]
        return counted + extra


def _operations(contract: Contract) -> list[Operation]:
    return [*contract.operations, *([contract.otherwise] if contract.otherwise else [])]
