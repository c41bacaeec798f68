"""`python -m bench`: run all parts of the bench, or the named ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial

import click
from rich.console import Console

from bench.comparison import comparison
from bench.conversations import conversations
from bench.forwarding import forwarding, routes
from bench.guarding import guarding
from bench.idle import idle
from bench.isolation import isolation
from bench.logins import logins
from bench.native import native
from bench.pages import pages
from bench.report import Comparison, show
from bench.scale import scale, workers
from bench.transfer import transfer

Rows = list[object]


@dataclass(frozen=True)
class Readings:
    """The readings of a part: seconds of each, rounds, and the numbers of connections."""

    seconds: float
    rounds: int
    connections: tuple[int, ...]


def show_transfer(_: Readings, console: Console) -> Rows:
    rows: Rows = []
    for each in transfer():
        rows.append({"direction": each.direction, "grown_mib": each.grown / 2**20, "seconds": each.seconds})
        console.print(f"1 GiB {each.direction}: {each.seconds:.1f} s, memory +{each.grown / 2**20:.1f} MiB")
    return rows


def show_conversations(_: Readings, console: Console) -> Rows:
    rows: Rows = []
    for footprint in conversations():
        rows.append({"contender": footprint.contender, "idle": footprint.idle, "recording": footprint.recording})
        console.print(
            f"{footprint.contender}: {footprint.idle / 1024:.0f} KiB an idle connection, "
            f"{footprint.recording / 1024:.0f} KiB a recording of 224 KiB"
        )
    return rows


def show_idle(_: Readings, console: Console) -> Rows:
    unused = idle()
    console.print(
        f"ready after {unused.ready:.2f} s; {unused.cpu:.2%} of a core; an idle keep-alive connection "
        f"{unused.keep_alive / 1024:.1f} KiB ({unused.keep_alive_cpu:.2%} of a core with all), an idle "
        f"WebSocket {unused.websocket / 1024:.1f} KiB ({unused.websocket_cpu:.2%})"
    )
    return [asdict(unused)]


def show_pages(_: Readings, console: Console) -> Rows:
    rows: Rows = []
    for page in pages():
        rows.append(asdict(page))
        shown = f"{page.seconds * 1e3:.0f} ms, slowest {page.slowest * 1e3:.0f} ms, CPU {page.cpu * 1e3:.0f} ms"
        console.print(f"{page.page}: {shown}, {page.size / 1024:.0f} KiB")
    return rows


def show_comparison(_: Readings, console: Console) -> Rows:
    rows: Rows = []
    for pace in comparison():
        rows.append(asdict(pace))
        each = f"{pace.microseconds:,.0f} µs each"
        console.print(f"{pace.count:,} of {pace.size:,} B, {pace.title}: {pace.seconds:.1f} s, {each} ({pace.verdict})")
    return rows


def show_isolation(readings: Readings, console: Console) -> Rows:
    compared, footprints = isolation(readings.seconds, readings.rounds)
    show([compared], console)
    for shadowing in footprints:
        console.print(str(shadowing))
    return [*compared.rows(), *map(asdict, footprints)]


def show_guarding(readings: Readings, console: Console) -> Rows:
    compared, cost = guarding(readings.seconds, readings.rounds)
    show([compared], console)
    console.print(f"{cost.observing * 1e6:.2f} µs an observation, {cost.judging * 1e6:.0f} µs a judgement")
    console.print(", ".join(f"{name}: {took * 1e6:.0f} µs a request" for name, took in cost.requests.items()))
    return [*compared.rows(), asdict(cost)]


def show_contenders(part: str, readings: Readings, console: Console) -> Rows:
    """Measure a part in which contenders take turns, and print or return its figures."""
    comparisons = _measure(part, readings.seconds, readings.rounds, readings.connections)
    show(comparisons, console)
    return [row for comparison in comparisons for row in comparison.rows()]


PARTS: Mapping[str, Callable[[Readings, Console], Rows]] = {
    "forwarding": partial(show_contenders, "forwarding"),
    "routes": partial(show_contenders, "routes"),
    "transfer": show_transfer,
    "native": partial(show_contenders, "native"),
    "scale": partial(show_contenders, "scale"),
    "workers": partial(show_contenders, "workers"),
    "logins": partial(show_contenders, "logins"),
    "conversations": show_conversations,
    "idle": show_idle,
    "pages": show_pages,
    "comparison": show_comparison,
    "isolation": show_isolation,
    "guarding": show_guarding,
}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(tuple(PARTS)))
@click.option("--seconds", default=5, show_default=True, type=click.IntRange(1), help="Seconds of one reading.")
@click.option("--rounds", default=3, show_default=True, help="Readings of each contender, in turns.")
@click.option("--connections", default="1,16,128", show_default=True, help="For the forwarding part.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def main(parts: tuple[str, ...], seconds: int, rounds: int, connections: str, as_json: bool) -> None:
    """Measure the gateway beside its peers."""
    console = Console(stderr=as_json)
    readings = Readings(seconds, rounds, tuple(int(count) for count in connections.split(",")))
    rows: Rows = []
    for part in parts or PARTS:
        console.print(f"[bold]{part}[/bold]")
        rows += PARTS[part](readings, console)
    if as_json:
        click.echo(json.dumps(rows, indent=2))


def _measure(part: str, seconds: float, rounds: int, connections: tuple[int, ...]) -> list[Comparison]:
    if part == "forwarding":
        return forwarding(seconds, rounds, connections)
    measure = {"routes": routes, "native": native, "scale": scale, "workers": workers, "logins": logins}[part]
    return measure(seconds, rounds)


if __name__ == "__main__":
    main()
