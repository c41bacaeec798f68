"""What a directory of contracts says: openapi.yaml, and divergences.yaml, which must fit it.

Divergences fit where they are sound, do not contradict each other, and name operations that there are.
"""

from __future__ import annotations

import difflib
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

Stamp: TypeAlias = tuple[tuple[str, int, int, int], ...]
_ASIDE: Final = ("STORE ", "CALLS")  # what scenarios leave behind, of which a contract says nothing


@dataclass(frozen=True, slots=True)
class ContractBundle:
    """What the sides are held to, and where they may differ; either may be absent."""

    contract: Contract | None = None
    divergences: tuple[Divergence, ...] = ()


def load_agreement(directory: Path) -> ContractBundle:
    """What a directory holds, which need not be there. Raises ContractError with every fault."""
    contract_file, divergences_file = directory / "openapi.yaml", directory / "divergences.yaml"
    contract = load(contract_file) if contract_file.exists() else None
    return ContractBundle(contract, load_agreed(divergences_file, contract) if divergences_file.exists() else ())


def agree(file: Path, config: Config) -> ContractBundle:
    """What the contracts say that a routing.yaml names. Raises ConfigError: their faults are its own."""
    try:
        return load_agreement(file.parent / config.contracts)
    except ContractError as error:
        raise ConfigError(tuple(Problem(0, "contracts", str(fault)) for fault in error.faults), str(file)) from None


def fingerprint(directory: Path) -> Stamp:
    """What changes with the files of a directory; empty where there is none."""
    try:
        found = [(entry.name, entry.stat()) for entry in os.scandir(directory) if entry.is_file()]
    except OSError:
        return ()
    return tuple(sorted((name, each.st_mtime_ns, each.st_size, each.st_ino) for name, each in found))


def load_agreed(path: Path, contract: Contract | None) -> tuple[Divergence, ...]:
    """The divergences in a file. Raises ContractError with every fault: malformed, contradicting, naming unknown
    operations (where there is a contract to tell)."""
    root = _root(path)
    try:
        found = divergences.load(path)
    except DivergenceError as error:
        raise ContractError(tuple(_malformed(path, root, error))) from None
    faults = [*_contradictions(path, root, found)]
    if contract is not None:
        faults += _unknown(path, root, found, contract)
    if faults:
        raise ContractError(tuple(faults))
    return found


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
        yield Fault(path, Problem(_doubled(root), "", str(error).removeprefix(f"{path}: ")))


def _doubled(root: yaml_nodes.Node | None) -> int:
    """The line of the first id that stood before."""
    seen: set[str] = set()
    for item in root.items if isinstance(root, yaml_nodes.Sequence) else ():
        entry = item.entries.get("id") if isinstance(item, yaml_nodes.Mapping) else None
        text = entry[1].text if entry and isinstance(entry[1], yaml_nodes.Scalar) else None
        if entry and text in seen:
            return entry[0]
        seen.add(text or "")
    return 0


def _contradictions(path: Path, root: yaml_nodes.Node | None, found: tuple[Divergence, ...]) -> Iterator[Fault]:
    """Two divergences that the same thing would tell: which of them was meant?"""
    told: dict[tuple[str, str], Divergence] = {}
    for index, one in enumerate(found):
        for case in one.when:
            key = ((case.operation or one.operation).lower(), case.model_dump_json(exclude={"operation"}))
            other = told.setdefault(key, one)
            if other is not one:
                message = f"is told by the same case as {other.id}, so that nobody knows which was seen"
                yield Fault(path, Problem(_line(root, index, "when"), one.id, message))


def _unknown(
    path: Path, root: yaml_nodes.Node | None, found: tuple[Divergence, ...], contract: Contract
) -> Iterator[Fault]:
    known = [operation.name for operation in contract.operations]
    known += [f"HEAD {operation.template}" for operation in contract.operations if operation.method == "GET"]
    for index, one in enumerate(found):
        places: list[tuple[tuple[int | str, ...], str]] = [((index, "operation"), one.operation)]
        places += [((index, "when", at, "operation"), case.operation or "") for at, case in enumerate(one.when)]
        for where, operation in places:
            if operation and not operation.startswith(_ASIDE) and not any(covers(operation, name) for name in known):
                close = difflib.get_close_matches(operation, known, 1)
                hint = f"; did you mean {close[0]}?" if close else ""
                message = f"{operation} is no operation of the contract{hint}"
                yield Fault(path, Problem(_line(root, *where), one.id, message))


def _line(node: yaml_nodes.Node | None, *steps: int | str) -> int:
    """The line of what the steps lead to, as far as they lead. A single `when` is a list of one."""
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
