"""Check that an import string can be imported, without running the module that it names."""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

from proxy.wording import did_you_mean


def import_problem(import_string: str) -> str | None:
    """Return the reason why `package.module:attribute` cannot be imported here; None if it can.

    Imports the packages above the module, but parses the module itself instead of importing it.
    """
    module, _, attribute = import_string.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    spec = _spec(module)
    if spec is None:
        return f"there is no module {_first_missing(module)}{_meant(module)}"
    try:
        tree = _tree(spec)
    except SyntaxError as error:
        return f"{module} is not valid Python: {Path(error.filename or '').name}, line {error.lineno}: {error.msg}"
    names = None if tree is None else _names(tree)
    first = attribute.partition(".")[0]
    if names is None or first in names:
        return None
    return f"{module} has no {first}{did_you_mean(first, names, lambda name: f'{module}:{name}')}"


def _spec(module: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None


def _first_missing(module: str) -> str:
    parts = module.split(".")
    names = (".".join(parts[: number + 1]) for number in range(len(parts)))
    return next((name for name in names if _spec(name) is None), module)


def _meant(module: str) -> str:
    package, _, name = _first_missing(module).rpartition(".")
    spec = _spec(package) if package else None
    paths = list(spec.submodule_search_locations or ()) if spec is not None else [str(Path.cwd())]
    prefix = f"{package}." if package else ""
    return did_you_mean(name, [each.name for each in pkgutil.iter_modules(paths)], lambda close: prefix + close)


def _tree(spec: ModuleSpec) -> ast.Module | None:
    """Return the parsed source of a module; None if it cannot be read. Raises SyntaxError."""
    if spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        return ast.parse(Path(spec.origin).read_bytes(), spec.origin)
    except (OSError, ValueError):
        return None


def _names(tree: ast.Module) -> set[str] | None:
    """Return the names that a module defines at its top level; None if its source does not show them."""
    names = set(_defined(tree))
    return None if names & {"*", "__getattr__"} else names


def _defined(tree: ast.Module) -> Iterator[str]:
    """Yield names that statements anywhere outside of functions and classes define; `*` for a star import."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        pending += ast.iter_child_nodes(node)
