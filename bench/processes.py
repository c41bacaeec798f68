"""Memory, processor time and the end of the start of a process and its children (Linux)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

STARTING: Final = 60.0
"""Seconds within which a server ends the work of its start, such as compiling the contract and the templates."""
QUIET: Final = 0.05
"""Share of a core below which it has ended."""


def await_started(pid: int) -> None:
    """Wait until a server has ended the work of its start. Raises TimeoutError."""
    deadline = time.monotonic() + STARTING
    while time.monotonic() < deadline:
        before = cpu_seconds(pid)
        time.sleep(1)
        if cpu_seconds(pid) - before < QUIET:
            return
    raise TimeoutError(f"the server still works {STARTING:.0f} s after its start")


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its children in seconds."""
    ticks = sum(int(fields[11]) + int(fields[12]) for fields in _family(pid))
    return ticks / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Return the resident memory of a process and its children in bytes."""
    return sum(int(fields[21]) for fields in _family(pid)) * os.sysconf("SC_PAGE_SIZE")


def _family(pid: int) -> Iterator[list[str]]:
    """Yield the fields of /proc/PID/stat after the name, of a process and its children."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if pid in (int(status.parent.name), int(fields[1])):
            yield fields
