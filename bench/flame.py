"""`python -m bench.flame`: profile the gateway's event loop with py-spy while it forwards.

Write `docs/forwarding-flame.svg`, and print each module's share of the samples. A sample belongs to the innermost
frame in `proxy/`, so that a write to a socket counts for the module that makes it. Only samples that hold Python's
global lock are taken: without it, the loop is waiting or reading its sockets.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.contenders import routing, server_group
from bench.load import load

FLAME: Final = Path(__file__).parent.parent / "docs" / "forwarding-flame.svg"
SECONDS: Final = 15
LOOP: Final = "event loop"
TITLE: Final = "The gateway while it forwards"
_TITLE: Final = re.compile(r'(<text id="title"[^>]*>)[^<]*')
_MODULE: Final = re.compile(r"\((proxy/[\w/]+)\.py(?::\d+)?\)")
_SAMPLE: Final = re.compile(r"(.*) (\d+)")
_MAIN: Final = "(scribe-proxy"
_ROWS: Final = 14


def shares_of(lines: Iterable[str]) -> dict[str, float]:
    """Return the share of samples by module, the largest first, from py-spy's raw format: `frame;…;frame count`.

    Only samples of the main thread count, which runs the event loop.
    """
    samples: Counter[str] = Counter()
    for line in lines:
        match = _SAMPLE.fullmatch(line.strip())
        if match is not None and _MAIN in match[1]:
            samples[_module_of(match[1].split(";"))] += int(match[2])
    total = samples.total()
    return {module: count / total for module, count in samples.most_common()}


def _module_of(frames: list[str]) -> str:
    """Return the module of the innermost frame of this project below the command's own."""
    for frame in reversed(frames):
        match = _MODULE.search(frame)
        if match is not None:
            return LOOP if match[1].startswith("proxy/cli/") else match[1]
    return LOOP


def with_title(svg: str) -> str:
    """Return a flame graph with the title TITLE, because py-spy's is its command line with local paths."""
    return _TITLE.sub(lambda match: match[1] + TITLE, svg)


def record(pid: int, url: str, form: str, file: Path) -> None:
    """Sample a process under load into a file, in one of py-spy's formats."""
    program = shutil.which("py-spy")
    if program is None:
        raise SystemExit("py-spy is needed on PATH: pip install py-spy")
    command = [program, "record", "--pid", str(pid), "--gil", "--rate", "250", "--duration", str(SECONDS)]
    with subprocess.Popen([*command, "--format", form, "--output", file], stdout=subprocess.DEVNULL) as sampling:
        load(url, 16, SECONDS + 1)
    if sampling.returncode:
        raise SystemExit(f"py-spy failed with exit code {sampling.returncode}")


def main() -> None:
    """Write the flame graph and print the shares."""
    with server_group() as contenders:
        upstream = contenders.upstream()
        port, gateway = contenders.gateway(routing(upstream, routes=30))
        assert gateway.pid is not None
        url = f"http://127.0.0.1:{port}/small"
        load(url, 16, 2)
        record(gateway.pid, url, "flamegraph", FLAME)
        FLAME.write_text(with_title(FLAME.read_text()))
        raw = contenders.directory / "samples"
        record(gateway.pid, url, "raw", raw)
        shares = shares_of(raw.read_text().splitlines())
    table = Table("module", "share")
    for module, share in list(shares.items())[:_ROWS]:
        table.add_row(module, f"{share:.0%}")
    table.add_row("others", f"{sum(list(shares.values())[_ROWS:]):.0%}")
    Console().print(table)


if __name__ == "__main__":
    main()
