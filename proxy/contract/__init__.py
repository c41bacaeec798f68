"""What a service is held to: its OpenAPI contract, read with lines, inferred from recordings, checked against them."""

from proxy.contract.faults import ContractError, Fault
from proxy.contract.model import OTHERWISE, Contract, DeclaredAnswer, Operation
from proxy.contract.reading import load
from proxy.contract.schemas import Compare, Hints, Path, Schema, Violation

__all__ = [
    "OTHERWISE",
    "Compare",
    "Contract",
    "ContractError",
    "DeclaredAnswer",
    "Fault",
    "Hints",
    "Operation",
    "Path",
    "Schema",
    "Violation",
    "load",
]
