"""Conventions of the tests: parts are injected, not patched; names are short; a file has one subject."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.source_modules import Function, SourceModule, modules

TESTS = Path(__file__).parent
PLANTS_FAULTS = {TESTS / "conformance" / "test_planted_faults.py"}
"""Files whose subject is a faulty gateway: a patch there is the fault that a case must detect."""
RAISING = {"raises", "warns", "fail", "find", "wait_for", "timeout"}
"""Functions of pytest, Hypothesis and asyncio that raise if an expectation fails."""
MAX_NAME = 60
MAX_FUNCTION = 30
"""Lines of a function of the product, its signature and docstring among them."""
MAX_LINES = 400
PATCHES, PRIVATE_READS, LONG_FILES = 1, 2, 0
"""How many are left; a change may lower these numbers only."""


def patches() -> Iterator[str]:
    """Yield where a pytest.MonkeyPatch replaces an attribute."""
    return (module.where(line) for module in checked() for line in module.patches)


def private_reads() -> Iterator[str]:
    """Yield where a private name of another object or module is used."""
    return (module.where(line) for module in checked() for line in module.private_reads)


def checked() -> Iterator[SourceModule]:
    return (module for module in modules("tests") if module.path not in PLANTS_FAULTS)


def imported_tests() -> Iterator[str]:
    """Yield where a module imports a test module: helpers that several tests share are in tests/support/."""
    for module in modules("tests"):
        for each in module.imports:
            if each.names and each.module.rpartition(".")[2].startswith("test_"):
                yield module.where(each.line)


def functions() -> Iterator[Function]:
    return (each for module in modules("tests") for each in module.functions if each.name.startswith("test_"))


@pytest.mark.parametrize("package", ["common", "proxy", "handlers", "demo", "bench"])
def test_functions_fit_a_screen(package: str) -> None:
    functions = [(module, each) for module in modules(package) for each in module.functions]
    assert [module.where(each.line) for module, each in functions if each.length > MAX_FUNCTION] == []


def test_test_modules_are_never_imported() -> None:
    assert list(imported_tests()) == []


def test_attributes_are_not_patched() -> None:
    lines = list(patches())
    assert len(lines) <= PATCHES, lines


def test_private_names_are_not_used() -> None:
    lines = list(private_reads())
    assert len(lines) <= PRIVATE_READS, lines


def asserting() -> set[str]:
    """Return the names of functions that assert or raise, by themselves or through others of the tests."""
    functions = [each for module in modules("tests") for each in module.functions]
    names = {each.name for each in functions if each.raises} | RAISING
    while more := {each.name for each in functions if each.name not in names and each.calls & names}:
        names |= more
    return names


def test_tests_can_all_fail() -> None:
    names = asserting()
    assert [each.name for each in functions() if each.name not in names] == []


def test_names_of_tests_are_short() -> None:
    assert [each.name for each in functions() if len(each.name) > MAX_NAME] == []


def test_files_are_about_one_subject() -> None:
    long = {str(module.path): module.lines for module in modules("tests") if module.lines > MAX_LINES}
    assert len(long) <= LONG_FILES, long
