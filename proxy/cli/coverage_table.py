"""The coverage of a contract as a table: operations by statuses."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from proxy.inference.checking import CoverageRow
from proxy.wording import counted


def coverage_table(rows: list[CoverageRow]) -> Table:
    """Return a row for each operation; `0` is declared without a sample, `!` a sample that is not declared."""
    statuses = sorted({row.status for row in rows}, key=lambda status: (not status[0].isdecimal(), status))
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("operation", overflow="fold")
    for status in statuses:
        table.add_column(status, justify="right", no_wrap=True)
    for name in dict.fromkeys(row.operation.name for row in rows):
        cells = {row.status: _cell(row) for row in rows if row.operation.name == name}
        table.add_row(Text(name), *(cells.get(status, Text()) for status in statuses))
    return table


def summarize_coverage(rows: list[CoverageRow]) -> str:
    """Return one line that counts samples, operations and gaps."""
    empty = sum(1 for row in rows if not row.samples and not row.live)
    undeclared = sum(1 for row in rows if not row.declared)
    samples = sum(row.samples for row in rows)
    live = sum(row.live or 0 for row in rows)
    answers = counted(samples, "sample") + (f" and {counted(live, 'live answer')}" if live else "")
    operations = len({row.operation.name for row in rows})
    summary = f"{empty} declared without a sample, {undeclared} observed and not declared"
    return f"{answers} of {counted(operations, 'operation')}; {summary}"


def _cell(row: CoverageRow) -> Text:
    summary = f"{row.samples}+{row.live}" if row.live else str(row.samples)
    if not row.declared:
        return Text(f"{summary}!", style="bold red")
    return Text(summary, style="" if row.samples or row.live else "yellow")
