"""Kinds of differences, by which executions are grouped, and new ones are distinguished from reported ones. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.comparison.verdicts import Difference
from proxy.contract.model import OTHERWISE, Contract
from proxy.fuzz.execution import Execution
from proxy.recordings.report import Result, value_text

_INDEX = re.compile(r"\d+")


class DifferenceKind(NamedTuple):
    """The subject and endpoint of a difference, its path without indexes and ids, and its kind.

    `values`: both values for the kinds `status` and `outcome`, which have few.
    """

    subject: str
    endpoint: str
    path: str
    kind: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        values = f" {' / '.join(self.values)}" if self.values else ""
        return f"{self.endpoint}: {self.path} ({self.kind}{values})"


def kinds_of(execution: Execution, contract: Contract) -> frozenset[DifferenceKind]:
    """Return the kinds of an execution's undeclared differences; the contract names the endpoints."""
    return frozenset(_kind(result, one, contract) for result in execution.differing for one in result.unexplained)


def endpoint_of(contract: Contract, method: str, target: str) -> str:
    """Return `METHOD /template` of a request, `METHOD *` outside the contract."""
    operation = contract.operation(method, target)
    return f"{method} *" if operation is None or operation.id == OTHERWISE else f"{method} {operation.template}"


def _kind(result: Result, difference: Difference, contract: Contract) -> DifferenceKind:
    few = difference.kind in ("status", "outcome")
    values = (value_text(difference.legacy), value_text(difference.native)) if few else ()
    is_step = result.subject == "step"
    method = result.endpoint.partition(" ")[0]
    endpoint = endpoint_of(contract, method, result.target) if is_step else result.endpoint
    return DifferenceKind(result.subject, endpoint, _INDEX.sub("N", difference.field), difference.kind, values)
