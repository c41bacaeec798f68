"""Show the figures of a bench as tables and as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.load import Reading, typical


@dataclass(frozen=True, slots=True)
class Comparison:
    """Readings by contender, one per round, compared to `base`; throughput is also compared to `others`."""

    title: str
    readings: Mapping[str, Sequence[Reading]]
    base: str
    others: Sequence[str] = ()

    def rows(self) -> list[dict[str, str | float]]:
        """Return the medians of all rounds. Ratios are taken within a round, because the machine's speed varies."""
        return [self._row(name, readings, typical(readings)) for name, readings in self.readings.items()]

    def _row(self, name: str, readings: Sequence[Reading], middle: Reading) -> dict[str, str | float]:
        return {
            "comparison": self.title,
            "contender": name,
            "rate": round(middle.rate),
            "ratio": round(self._ratio(readings, lambda reading: reading.rate), 2),
            "p50_ms": round(middle.p50, 2),
            "p99_ms": round(middle.p99, 2),
            "p99_ratio": round(self._ratio(readings, lambda reading: reading.p99), 2),
            "failed": middle.failed,
            **{f"to {other}": round(median_ratio(readings, self.readings[other], _rate), 2) for other in self.others},
        }

    def _ratio(self, readings: Sequence[Reading], figure: Callable[[Reading], float]) -> float:
        return median_ratio(readings, self.readings[self.base], figure)


def median_ratio(readings: Sequence[Reading], base: Sequence[Reading], figure: Callable[[Reading], float]) -> float:
    """Return the median over all rounds of the ratio within a round."""
    return median(figure(reading) / figure(other) for reading, other in zip(readings, base, strict=True))


def _rate(reading: Reading) -> float:
    return reading.rate


def show(comparisons: list[Comparison], console: Console) -> None:
    for comparison in comparisons:
        others = [f"to {other}" for other in comparison.others]
        table = Table("", "req/s", "ratio", *others, "p50 ms", "p99 ms", "p99 ratio", "failed", title=comparison.title)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in comparison.rows():
            table.add_row(
                str(row["contender"]),
                f"{row['rate']:,}",
                f"{row['ratio']:.2f}",
                *(f"{row[other]:.2f}" for other in others),
                f"{row['p50_ms']:.2f}",
                f"{row['p99_ms']:.2f}",
                f"{row['p99_ratio']:.2f}",
                str(row["failed"]),
            )
        console.print(table)
        console.print(f"[dim]ratios to {comparison.base}; medians of the rounds[/dim]\n")
