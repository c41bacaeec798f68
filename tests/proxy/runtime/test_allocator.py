"""Long buffers are returned to the system, regardless of later allocations."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
from proxy.runtime.allocator import map_long_buffers
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
if not map_long_buffers():
    raise SystemExit("no such allocator")
del (released := [bytes([1]) * (16 << 20)])[:]  # without the setting, buffers of this size are on the heap from now on
long = [bytes([1]) * (1 << 20) for _ in range(64)]
later = bytes([1]) * (256 << 10)
held = resident()
del long
print(held - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of glibc")
def test_long_buffers_are_returned_when_freed() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    if "no such allocator" in run.stderr:
        pytest.skip("not glibc")
    assert int(run.stdout) >= 60 << 20, run.stderr
