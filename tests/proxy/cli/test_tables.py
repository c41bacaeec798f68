"""Tables on a narrow terminal: a name or reason that is too long for its column is folded, not cut."""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from proxy.cli import main
from proxy.cli.coverage_table import coverage_table
from proxy.cli.history import table_of
from proxy.contract.model import Operation
from proxy.inference.checking import CoverageRow
from proxy.ops.rollout_views import ChangeView
from proxy.rollout.model import Attribution

LONG = "a_route_with_a_name_of_more_than_forty_characters"


def printed(table: Table) -> str:
    output = io.StringIO()
    Console(file=output, width=50).print(table)
    return output.getvalue()


def columns() -> Iterator[tuple[str, ast.Call]]:
    """Yield every column of a table that a command makes, with its file and line."""
    for file in sorted(Path(main.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_column":
                yield f"{file.name}:{node.lineno}", node


def test_history_is_folded() -> None:
    change = ChangeView("rollback", Attribution("Ada", LONG, 0.0), 10.0, 0.0, LONG, "", "")
    text = printed(table_of([change], 60.0))
    assert "…" not in text
    assert text.count("o") >= 2 * LONG.count("o")


def test_coverage_is_folded() -> None:
    rows = [
        CoverageRow(Operation("notes", "GET", f"/{LONG}", {}, {}), str(status), 3, declared=True)
        for status in range(200, 206)
    ]
    text = printed(coverage_table(rows))
    assert "…" not in text
    assert text.count("_") == LONG.count("_")


def test_column_of_text_is_folded_or_never_wrapped() -> None:
    options = {where: {one.arg: ast.unparse(one.value) for one in node.keywords} for where, node in columns()}
    assert len(options) > 10
    cut = [
        where
        for where, given in options.items()
        if given.get("overflow") != "'fold'" and "no_wrap" not in given and given.get("justify") != "'right'"
    ]
    assert cut == []
