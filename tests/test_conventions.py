"""Conventions of the tests: parts are given and not patched, names are short, a file is about one subject."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PLANTS_FAULTS = {TESTS / "conformance" / "test_planted_faults.py"}
"""Files whose subject is a changed gateway: a patch there is the fault that a case must see."""
PUBLIC = {"_replace", "_asdict", "_fields", "_make", "_exit"}
"""Documented names of named tuples and of `os` that begin with an underscore."""
RAISING = {"raises", "warns", "fail", "find", "wait_for", "timeout"}
"""Functions of pytest, Hypothesis and asyncio that raise where an expectation fails."""
MAX_NAME = 60
MAX_FUNCTION = 30
"""Lines of a function of the product, its signature and docstring among them."""
MAX_LINES = 400
PATCHES, PRIVATE_READS, LONG_FILES = 12, 2, 0
"""How many are left; a change may lower these numbers only."""


@functools.cache
def trees() -> dict[Path, ast.Module]:
    """Return the syntax tree of every file of the tests."""
    return {path: ast.parse(path.read_text()) for path in sorted(TESTS.rglob("*.py"))}


def where(path: Path, node: ast.expr | ast.stmt) -> str:
    return f"{path.relative_to(TESTS)}:{node.lineno}"


def patches(path: Path, tree: ast.AST) -> Iterator[str]:
    """Yield where a pytest.MonkeyPatch replaces an attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
            yield where(path, node)


def private_reads(path: Path, tree: ast.AST) -> Iterator[str]:
    """Yield where a private name of another object or module is used."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (where(path, node) for alias in node.names if alias.name.startswith("_"))
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not is_own(node):
            yield where(path, node)


def is_own(node: ast.Attribute) -> bool:
    """Return whether an attribute is the object's own, public by its documentation, or special."""
    owner = ast.unparse(node.value)
    return owner in ("self", "cls", "super()") or node.attr in PUBLIC or node.attr.startswith("__")


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node


def imported_tests(path: Path, tree: ast.AST) -> Iterator[str]:
    """Yield where a module imports a test module: helpers that several tests share are in tests/support/."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2].startswith("test_"):
            yield where(path, node)


@pytest.mark.parametrize("package", ["proxy", "handlers", "demo", "bench"])
def test_functions_fit_a_screen(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in (ROOT / package).rglob("*.py")
        if "node_modules" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION
    ]
    assert found == []


def test_no_test_module_is_imported() -> None:
    assert [each for path, tree in trees().items() for each in imported_tests(path, tree)] == []


def test_no_attribute_is_patched() -> None:
    found = [each for path, tree in trees().items() if path not in PLANTS_FAULTS for each in patches(path, tree)]
    assert len(found) <= PATCHES, found


def test_no_private_name_is_used() -> None:
    found = [each for path, tree in trees().items() if path not in PLANTS_FAULTS for each in private_reads(path, tree)]
    assert len(found) <= PRIVATE_READS, found


def called(function: ast.AST) -> set[str]:
    """Return the names of the functions and methods that a function calls."""
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}


def asserting() -> set[str]:
    """Return the names of functions that assert or raise, by themselves or through others of the tests."""
    found = [
        node
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    calls = [(node.name, called(node)) for node in found]
    names = {node.name for node in found if any(isinstance(part, ast.Assert | ast.Raise) for part in ast.walk(node))}
    names |= RAISING
    while more := {name for name, others in calls if name not in names and others & names}:
        names |= more
    return names


def test_every_test_can_fail() -> None:
    names = asserting()
    assert [node.name for tree in trees().values() for node in functions(tree) if node.name not in names] == []


def test_names_of_tests_are_short() -> None:
    found = [node.name for tree in trees().values() for node in functions(tree) if len(node.name) > MAX_NAME]
    assert found == []


def test_files_are_about_one_subject() -> None:
    lengths = {str(path.relative_to(TESTS)): len(path.read_text().splitlines()) for path in trees()}
    long = {name: length for name, length in lengths.items() if length > MAX_LINES}
    assert len(long) <= LONG_FILES, long
