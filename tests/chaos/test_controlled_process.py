"""The attackers' process yields to others."""

from __future__ import annotations

import subprocess
import sys

REPORT = """
import os
from tests.chaos.controlled_process import AUTOGROUP, yield_to_others
yield_to_others()
print(os.getsid(0) == os.getpid(), os.sched_getscheduler(0) == os.SCHED_IDLE)
print(AUTOGROUP.read_text().endswith("nice 19\\n") if AUTOGROUP.exists() else True)
"""


def test_yielding_process_comes_last_in_a_session_of_its_own() -> None:
    output = subprocess.run([sys.executable, "-c", REPORT], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["True"] * 3
