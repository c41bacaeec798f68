"""`python -m bench.start`: measure processor and wall-clock time of commands, and of `serve` until it is ready.

Modules are compiled, as in an installed package: PYTHONDONTWRITEBYTECODE is dropped, and the first round not counted.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.contenders import ServerGroup, routing, server_group
from bench.processes import cpu_seconds
from demo.ports import free_port

ROOT: Final = Path(__file__).parent.parent
PROGRAM: Final = Path(sys.executable).with_name("scribe-proxy")
COMMANDS: Final = ("check", "explain GET /api/prompts", "status --ops-url http://127.0.0.1:1")
LIBRARIES: Final = "import click, yaml; from pydantic import BaseModel, TypeAdapter"
SERVE: Final = "serve, until ready"
COMMAND_BOUND: Final = 0.25
READY_BOUND: Final = 1.5
ROUNDS: Final = 10


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds of processor time and of wall-clock time."""

    cpu: float
    clock: float


def run_command(arguments: list[str]) -> Duration:
    """Run a program to its end, whatever its exit code."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(arguments, cwd=ROOT, env=_environment(), capture_output=True, check=False)
    clock, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Duration(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, clock)


def serve_until_ready(contenders: ServerGroup, upstream: int) -> Duration:
    """Start a gateway with the native app; return the times until `/readyz` answers 200, and stop it."""
    ops = free_port()
    file = contenders.directory / f"start-{ops}.yaml"
    file.write_text(routing(upstream, routes=30, native="handlers.app:app", share="10%"))
    env = _environment() | {"JWT_SECRET_KEY": "bench-secret"}
    command: list[str | Path] = [PROGRAM, "serve", "--config", file, "--port", str(free_port()), "--ops-port", str(ops)]
    began = time.monotonic()
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while not _is_ready(ops):
                if process.poll() is not None or time.monotonic() > began + 60:
                    raise SystemExit("the gateway is not ready after a minute, or has ended")
                time.sleep(0.01)
            return Duration(cpu_seconds(process.pid), time.monotonic() - began)
        finally:
            process.terminate()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def measure(rounds: int = ROUNDS) -> Mapping[str, Duration]:
    """Return the median of each command over alternated rounds, of which the first is not counted."""
    with server_group() as contenders:
        upstream = contenders.upstream()
        measures: dict[str, Callable[[], Duration]] = {
            "python -c pass": partial(run_command, [sys.executable, "-c", "pass"]),
            "click, PyYAML and pydantic": partial(run_command, [sys.executable, "-c", LIBRARIES]),
            **{name: partial(run_command, [str(PROGRAM), *name.split()]) for name in COMMANDS},
            SERVE: partial(serve_until_ready, contenders, upstream),
        }
        measured: dict[str, list[Duration]] = {name: [] for name in measures}
        for _ in range(1 + rounds):
            for name, each in measures.items():
                measured[name].append(each())
    return {
        name: Duration(median(each.cpu for each in counted), median(each.clock for each in counted))
        for name, (_, *counted) in measured.items()
    }


def main() -> None:
    """Print the times with their bounds; exit with 1 if one is exceeded."""
    measured = measure()
    table, exceeded = Table("", "CPU s", "clock s", "bound", ""), False
    bounds = dict.fromkeys(COMMANDS, COMMAND_BOUND) | {SERVE: READY_BOUND}
    for name, duration in measured.items():
        bound = bounds.get(name)
        missed = bound is not None and duration.clock > bound
        exceeded = exceeded or missed
        shown = "" if bound is None else f"below {bound:.2f} s"
        table.add_row(name, f"{duration.cpu:.3f}", f"{duration.clock:.3f}", shown, "missed" if missed else "")
    Console().print(table)
    sys.exit(int(exceeded))


if __name__ == "__main__":
    main()
