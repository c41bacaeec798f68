"""Collect the names in native's source code. Such a name is not data, even if the contract lacks it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

MAX_FILES: Final = 2000
MAX_NAMES: Final = 50_000
_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,63}", re.ASCII)


def collect_names(app: str) -> frozenset[str]:
    """Return the field names in the package that an app is in (`package.module:attribute`); none without its source.

    They are texts that look like names, and the names of annotated attributes (models). Reads every file of the
    package; call it in a thread.
    """
    module = app.partition(":")[0]
    package = module.rpartition(".")[0] or module
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return frozenset()
    names: set[str] = set()
    for directory in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(directory).rglob("*.py"))[:MAX_FILES]:
            names.update(_names(file))
            if len(names) > MAX_NAMES:
                return frozenset()
    return frozenset(names)


def _names(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _NAME.fullmatch(node.value):
            yield node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
