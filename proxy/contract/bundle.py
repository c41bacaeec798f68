"""Load a directory of contracts: openapi.yaml, and divergences.yaml, which must fit it.

Divergences must be well formed, must not contradict each other, and must name operations of the contract.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from pydantic import ValidationError

from proxy.config import yaml_nodes
from proxy.config.models import Config
from proxy.config.problems import ConfigError, Problem
from proxy.contract import divergences
from proxy.contract.divergences import Divergence, DivergenceError, covers
from proxy.contract.faults import ContractError, Fault
from proxy.contract.model import Contract
from proxy.contract.reading import load
from proxy.contract.yaml_values import value_of
from proxy.wording import did_you_mean

Stamp: TypeAlias = tuple[tuple[str, int, int, int], ...]
_SIDE_EFFECTS: Final = ("STORE ", "CALLS")  # side effects, which a contract does not describe


@dataclass(frozen=True, slots=True)
class ContractBundle:
    """The contract and the declared divergences of a service; either may be absent."""

    contract: Contract | None = None
    divergences: tuple[Divergence, ...] = ()


def load_bundle(directory: Path) -> ContractBundle:
    """Load a directory, which need not exist.

    Raises ContractError with every fault.
    """
    contract_file = directory / "openapi.yaml"
    divergences_file = directory / "divergences.yaml"
    contract = load(contract_file) if contract_file.exists() else None
    return ContractBundle(contract, load_divergences(divergences_file, contract) if divergences_file.exists() else ())


def load_named_bundle(file: Path, config: Config) -> ContractBundle:
    """Load the contracts that a routing.yaml names.

    Raises ConfigError: a fault in a contract counts as a fault of the routing.yaml.
    """
    try:
        return load_bundle(file.parent / config.contracts)
    except ContractError as error:
        raise ConfigError(tuple(Problem(0, "contracts", str(fault)) for fault in error.faults), str(file)) from None


def fingerprint(directory: Path) -> Stamp:
    """Return a value that changes with the files of a directory; empty if there is no directory."""
    try:
        entries = [(entry.name, entry.stat()) for entry in os.scandir(directory) if entry.is_file()]
    except OSError:
        return ()
    return tuple(sorted((name, status.st_mtime_ns, status.st_size, status.st_ino) for name, status in entries))


def load_divergences(path: Path, contract: Contract | None) -> tuple[Divergence, ...]:
    """Load the divergences in a file.

    Raises ContractError with every fault: malformed entries, contradictions, and operations that `contract` does not
    have.
    """
    root = _root(path)
    try:
        entries = divergences.parse(value_of(root), path)
    except DivergenceError as error:
        raise ContractError(tuple(_malformed(path, root, error))) from None
    faults = [*_contradictions(path, root, entries)]
    if contract is not None:
        faults += _unknown(path, root, entries, contract)
    if faults:
        raise ContractError(tuple(faults))
    return entries


def _root(path: Path) -> yaml_nodes.Node | None:
    try:
        root, duplicates = yaml_nodes.read(path.read_text(encoding="utf-8"))
    except ConfigError as error:
        raise ContractError(tuple(Fault(path, problem) for problem in error.problems)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError((Fault(path, Problem(0, "", f"cannot be read: {error}")),)) from None
    if duplicates:
        raise ContractError(tuple(Fault(path, problem) for problem in duplicates))
    return root


def _malformed(path: Path, root: yaml_nodes.Node | None, error: DivergenceError) -> Iterator[Fault]:
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        for fault in cause.errors():
            name = ".".join(map(str, fault["loc"]))
            yield Fault(path, Problem(_line(root, *fault["loc"]), name, fault["msg"]))
    else:
        yield Fault(path, Problem(_line_of_duplicate(root), "", str(error).removeprefix(f"{path}: ")))


def _line_of_duplicate(root: yaml_nodes.Node | None) -> int:
    """Return the line of the first id that occurs a second time."""
    ids: set[str] = set()
    for item in root.items if isinstance(root, yaml_nodes.Sequence) else ():
        entry = item.entries.get("id") if isinstance(item, yaml_nodes.Mapping) else None
        text = entry[1].text if entry and isinstance(entry[1], yaml_nodes.Scalar) else None
        if entry and text in ids:
            return entry[0]
        ids.add(text or "")
    return 0


def _contradictions(path: Path, root: yaml_nodes.Node | None, entries: tuple[Divergence, ...]) -> Iterator[Fault]:
    """Yield a fault for each pair of divergences with an equal case for one operation."""
    reported_by: dict[tuple[str, str], Divergence] = {}
    for index, divergence in enumerate(entries):
        for case in divergence.when:
            conditions = repr([value for name, value in case if name != "operation"])
            key = ((case.operation or divergence.operation).lower(), conditions)
            other = reported_by.setdefault(key, divergence)
            if other is not divergence:
                message = f"has the same case as {other.id}: a difference could not be attributed"
                yield Fault(path, Problem(_line(root, index, "when"), divergence.id, message))


def _unknown(
    path: Path, root: yaml_nodes.Node | None, entries: tuple[Divergence, ...], contract: Contract
) -> Iterator[Fault]:
    known = dict.fromkeys(operation.name for operation in contract.operations)
    known |= {f"HEAD {operation.template}": None for operation in contract.operations if operation.method == "GET"}
    for index, divergence in enumerate(entries):
        operations_named: list[tuple[tuple[int | str, ...], str]] = [((index, "operation"), divergence.operation)]
        operations_named += [
            ((index, "when", at, "operation"), case.operation or "") for at, case in enumerate(divergence.when)
        ]
        for steps, operation in operations_named:
            if (
                operation
                and not operation.startswith(_SIDE_EFFECTS)
                and operation not in known
                and not any(covers(operation, name) for name in known)
            ):
                message = f"{operation} is not an operation of the contract{did_you_mean(operation, known)}"
                yield Fault(path, Problem(_line(root, *steps), divergence.id, message))


def _line(node: yaml_nodes.Node | None, *steps: int | str) -> int:
    """Return the line of the node at a path, or of the nearest node above it.

    A single `when` counts as a list of one.
    """
    line = node.line if node is not None else 0
    for step in steps:
        if isinstance(node, yaml_nodes.Mapping) and isinstance(step, str) and step in node.entries:
            line, node = node.entries[step]
        elif isinstance(node, yaml_nodes.Sequence) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            line = node.line
        elif not (isinstance(node, yaml_nodes.Mapping) and step == 0):
            break
    return line
