"""A bench's figures as tables for people, and as data."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from bench.load import Reading


@dataclass(frozen=True, slots=True)
class Comparison:
    """Readings by contender, all against the one named `base`."""

    title: str
    readings: dict[str, Reading]
    base: str

    def rows(self) -> list[dict[str, str | float]]:
        base = self.readings[self.base]
        return [
            {
                "comparison": self.title,
                "contender": name,
                "rate": round(reading.rate),
                "ratio": round(reading.rate / base.rate, 2),
                "p50_ms": round(reading.p50, 2),
                "p99_ms": round(reading.p99, 2),
                "p99_ratio": round(reading.p99 / base.p99, 2),
                "failed": reading.failed,
            }
            for name, reading in self.readings.items()
        ]


def show(comparisons: list[Comparison], console: Console) -> None:
    for comparison in comparisons:
        table = Table("", "req/s", "ratio", "p50 ms", "p99 ms", "p99 ratio", "failed", title=comparison.title)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in comparison.rows():
            table.add_row(
                str(row["contender"]),
                f"{row['rate']:,}",
                f"{row['ratio']:.2f}",
                f"{row['p50_ms']:.2f}",
                f"{row['p99_ms']:.2f}",
                f"{row['p99_ratio']:.2f}",
                str(row["failed"]),
            )
        console.print(table)
        console.print(f"[dim]ratios to {comparison.base}; medians of the rounds[/dim]\n")
