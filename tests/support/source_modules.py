"""The modules of the project as the tests of its conventions read them, each parsed once in a process.

Only what these tests need is stored: the syntax trees of all modules would fill memory, and slow down all later
garbage collections.
"""

from __future__ import annotations

import ast
import functools
import gc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
PUBLIC: Final = frozenset({"_replace", "_asdict", "_fields", "_make", "_exit"})
"""Documented names of named tuples and of `os` that begin with an underscore."""
METRICS: Final = frozenset({"Counter", "Gauge", "Histogram"})
CODES: Final = frozenset({"cause", "code", "kind", "reason"})
"""Arguments whose values users read in logs, metrics and JSON."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function or method; `calls` has the names of what it calls, `raises` is true if it asserts or raises."""

    name: str
    line: int
    length: int
    docstring: str
    is_property: bool
    calls: frozenset[str]
    raises: bool


@dataclass(frozen=True, slots=True)
class Import:
    """An import of a module, or of `names` from it."""

    line: int
    module: str
    names: tuple[str, ...] = ()


@dataclass(slots=True)
class SourceModule:
    """A module's path and parts; `identifiers` are all names that it gives, `texts` its docstrings and their lines.

    `published` are names in strings: members of JSON, values of literal types, metrics and labels, options, codes.
    """

    path: Path
    lines: int
    functions: list[Function] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    identifiers: set[str] = field(default_factory=set)
    published: set[str] = field(default_factory=set)
    texts: list[tuple[int, str]] = field(default_factory=list)
    patches: list[int] = field(default_factory=list)
    private_reads: list[int] = field(default_factory=list)

    def where(self, line: int) -> str:
        """Return a line of the module as a reader finds it."""
        return f"{self.path.relative_to(ROOT)}:{line}"


def modules(*packages: str) -> Iterator[SourceModule]:
    """Yield the modules of packages of the project, named by their directories."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "node_modules" not in path.parts:
                yield source_module(path)


@functools.cache
def source_module(path: Path) -> SourceModule:
    """Return a module's parts; without garbage collections, because a tree has no garbage until it is read."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return _read(path)
    finally:
        if was_enabled:
            gc.enable()


def _read(path: Path) -> SourceModule:
    source = path.read_text()
    module = SourceModule(path, len(source.splitlines()))
    for node in ast.walk(ast.parse(source)):
        for add in _ADDERS.get(type(node), ()):
            add(module, node)
    return module


def _add_definition(module: SourceModule, node: ast.AST) -> None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        function = _function(node)
        module.functions.append(function)
        module.texts.append((node.lineno, function.docstring))
        module.identifiers.add(node.name)
    elif isinstance(node, ast.ClassDef):
        module.classes.append(node.name)
        module.identifiers.add(node.name)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        module.texts.append((node.lineno, str(node.value.value)))


def _add_name(module: SourceModule, node: ast.AST) -> None:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        module.identifiers.add(node.id)
    elif isinstance(node, ast.arg):
        module.identifiers.add(node.arg)
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        module.identifiers.add(node.attr)


def _add_published(module: SourceModule, node: ast.AST) -> None:
    parts: list[ast.expr | None] = []
    if isinstance(node, ast.Dict):
        parts += node.keys
    elif isinstance(node, ast.Subscript) and _last_name(node.value) == "Literal":
        parts += node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    elif isinstance(node, ast.Call) and _last_name(node.func) in METRICS:
        parts += [part for argument in node.args for part in getattr(argument, "elts", [argument])]
    elif isinstance(node, ast.Call) and _last_name(node.func) == "option":
        parts += node.args
    elif isinstance(node, ast.keyword) and node.arg in CODES:
        parts.append(node.value)
    values = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    module.published.update(value for value in values if " " not in value)


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _add_use(module: SourceModule, node: ast.AST) -> None:
    if isinstance(node, ast.Import):
        module.imports.extend(Import(node.lineno, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        names = tuple(alias.name for alias in node.names)
        module.imports.append(Import(node.lineno, node.module or "", names))
        module.private_reads.extend(node.lineno for name in names if name.startswith("_"))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
        module.patches.append(node.lineno)
    elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not _is_own(node):
        module.private_reads.append(node.lineno)


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    parts = [part for part in ast.walk(node) if type(part) in _ACTIONS]
    calls = [part.func for part in parts if isinstance(part, ast.Call)]
    return Function(
        node.name,
        node.lineno,
        (node.end_lineno or 0) - node.lineno + 1,
        ast.get_docstring(node) or "",
        any("property" in ast.unparse(decorator) for decorator in node.decorator_list),
        frozenset(call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls),
        len(parts) > len(calls),
    )


def _is_own(node: ast.Attribute) -> bool:
    """Return whether an attribute is the object's own, public by its documentation, or special."""
    owner = ast.unparse(node.value)
    return owner in ("self", "cls", "super()") or node.attr in PUBLIC or node.attr.startswith("__")


_ACTIONS: Final = frozenset({ast.Call, ast.Assert, ast.Raise})
_ADDERS: Final[Mapping[type[ast.AST], tuple[Callable[[SourceModule, Any], None], ...]]] = {
    ast.FunctionDef: (_add_definition,),
    ast.AsyncFunctionDef: (_add_definition,),
    ast.ClassDef: (_add_definition,),
    ast.Expr: (_add_definition,),
    ast.Name: (_add_name,),
    ast.arg: (_add_name,),
    ast.Attribute: (_add_name, _add_use),
    ast.Dict: (_add_published,),
    ast.Subscript: (_add_published,),
    ast.Call: (_add_published, _add_use),
    ast.keyword: (_add_published,),
    ast.Import: (_add_use,),
    ast.ImportFrom: (_add_use,),
}
"""Readers of a node, by its type. Most of the nodes, which are a million, need none."""
