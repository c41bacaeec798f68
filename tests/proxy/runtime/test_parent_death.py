"""The end of a child whose parent is killed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from tests.support.waiting import HANG_TIMEOUT

CHILD = """
import os, sys, time
from proxy.runtime.parent_death import exit_with_parent
exit_with_parent(int(sys.argv[1]))
os.write(1, b".")
time.sleep(600)
"""
PARENT = f"""
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {CHILD!r}, str(os.getpid())])
time.sleep(600)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a child")


def ended(pipe: int) -> bool:
    """Return True once the other end of the pipe is closed."""
    ready, _, _ = select.select([pipe], [], [], HANG_TIMEOUT)
    return bool(ready) and os.read(pipe, 1) == b""


def test_child_ends_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.read(1) == b"."
        parent.send_signal(signal.SIGKILL)
        assert ended(parent.stdout.fileno())


def test_orphaned_child_ends_at_once() -> None:
    child = subprocess.run([sys.executable, "-c", CHILD, "1"], capture_output=True, timeout=HANG_TIMEOUT, check=False)
    assert (child.returncode, child.stdout) == (-signal.SIGTERM, b"")
