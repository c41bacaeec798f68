"""Divergences that are malformed, contradict each other, or name unknown operations are refused with file and line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.contract.bundle import fingerprint, load_divergences
from proxy.contract.faults import ContractError
from proxy.contract.model import Contract, Operation
from tests.support.waiting import HANG_TIMEOUT

ROOT = Path(__file__).parents[3]
CONTRACT = Contract([Operation("a", "GET", "/api/notes/{id}"), Operation("b", "WS", "/talk")])


def entry(name: str, *lines: str, operation: str = "GET /api/notes/{noteId}") -> str:
    required_keys = "legacy: a, native: b, reason: c, since: '1'"
    return "\n".join(
        [f"- {{id: {name}, {required_keys},", f"   operation: '{operation}',", *(f"   {line}" for line in lines)]
    )


def load(directory: Path, *entries: str, contract: Contract | None = CONTRACT) -> list[str]:
    path = directory / "divergences.yaml"
    path.write_text("\n".join(entries))
    try:
        load_divergences(path, contract)
    except ContractError as error:
        return [str(fault).removeprefix(str(path)) for fault in error.faults]
    return []


@pytest.mark.parametrize(
    "operation",
    ["GET /api/notes/{x}", "HEAD /api/notes/{x}", "GET /API/{any}/{id}", "WS /talk", "STORE notes", "CALLS"],
)
def test_operation_of_the_contract_is_accepted(tmp_path: Path, operation: str) -> None:
    assert load(tmp_path, entry("a", "when: {}}", operation=operation)) == []


def test_unknown_operation_is_reported_with_line_and_suggestion(tmp_path: Path) -> None:
    wrong = entry("a", "when:", "  [{}, {operation: DELETE /talk}]}", operation="GET /api/note/{id}")
    assert load(tmp_path, wrong) == [
        ":2: a: GET /api/note/{id} is not an operation of the contract; did you mean GET /api/notes/{id}?",
        ":4: a: DELETE /talk is not an operation of the contract; did you mean WS /talk?",
    ]
    assert load(tmp_path, wrong, contract=None) == []


def test_divergences_of_one_case_are_refused(tmp_path: Path) -> None:
    one, other = (entry(name, "when:", "  {native: {status: 404}}}") for name in ("a", "b"))
    assert load(tmp_path, one, other) == [":7: b: has the same case as a: a difference could not be attributed"]
    assert load(tmp_path, one, other.replace("404", "405")) == []
    twice = entry("a", "when: [{native: {status: 404}}, {native: {status: 404}}]}")
    assert load(tmp_path, twice) == []


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["- id: a", "  operation: x"], ":1: 0.legacy: Field required"),
        ([entry("a", "when: {native:", "  {status: many}}}")], ":4: 0.when.0.native.status: Input should be a valid"),
        ([entry("a", "when: [{},", "   {natve: {}}]}")], ":4: 0.when.1.natve: Extra inputs are not permitted"),
        ([entry("a", "when: {}}"), entry("a", "when: {native: {}}}")], ":4: id a is given twice"),
        ([entry("a", "when: {native: {body: '/(/'}}}")], ":3: 0.when.0.native.body: Value error"),
        (["a: ["], ":1: not YAML"),
        (["- a: 1", "  a: 2"], ":2: a: already given on line 1"),
        (["just text"], ": Input should be a valid"),
    ],
)
def test_malformed_divergence_is_reported_with_its_line(tmp_path: Path, entries: list[str], expected: str) -> None:
    reported = load(tmp_path, *entries)
    assert any(expected in fault for fault in reported), reported


def test_unreadable_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="cannot be read"):
        load_divergences(tmp_path / "divergences.yaml", None)
    (tmp_path / "divergences.yaml").write_bytes(b"\xff")
    with pytest.raises(ContractError, match="cannot be read"):
        load_divergences(tmp_path / "divergences.yaml", None)


def test_empty_file_declares_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "") == []


def test_fingerprint_changes_with_every_change_of_a_file(tmp_path: Path) -> None:
    directory = tmp_path / "contracts"
    directory.mkdir()
    file, other = directory / "openapi.yaml", tmp_path / "new"
    for path, text in ((file, "a"), (other, "b")):
        path.write_text(text)
        os.utime(path, ns=(0, 0))
    prints = [fingerprint(directory)]
    other.replace(file)  # of the same size and time
    prints.append(fingerprint(directory))
    os.utime(file, ns=(0, 1))
    prints.append(fingerprint(directory))
    file.write_text("longer")
    os.utime(file, ns=(0, 1))
    prints.append(fingerprint(directory))
    file.rename(directory / "users.yaml")
    prints.append(fingerprint(directory))
    assert len(set(prints)) == len(prints)
    assert fingerprint(directory) == prints[-1]
    assert fingerprint(tmp_path / "absent") == ()


def test_conditions_are_compared_without_a_serializer() -> None:
    script = (
        "from pathlib import Path\n"
        "from proxy.contract.bundle import load_bundle\n"
        "from proxy.contract.divergences import Case\n"
        "print(len(load_bundle(Path('contracts')).divergences) > 1, Case.__pydantic_complete__)"
    )
    run = [sys.executable, "-c", script]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True, timeout=HANG_TIMEOUT)
    assert done.stdout == "True False\n"
