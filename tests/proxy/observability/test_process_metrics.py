"""Metrics of a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from proxy.observability.process_metrics import ProcessMetrics, remove_dead_workers, resident_memory
from tests.support.samples import exposed_value


def test_in_flight_requests_are_counted_by_kind() -> None:
    ProcessMetrics(lambda: (3, 2, 7)).sample()
    assert exposed_value('scribe_proxy_in_flight{kind="http"}') == 3
    assert exposed_value('scribe_proxy_in_flight{kind="websocket"}') == 2
    assert exposed_value("scribe_proxy_buffered_bytes") == 7


def test_memory_is_that_of_now_and_processor_time_only_grows() -> None:
    process = ProcessMetrics(lambda: (0, 0, 0))
    process.sample()
    before = exposed_value("scribe_proxy_cpu_seconds_total")
    sum(range(3_000_000))
    process.sample()
    assert exposed_value("scribe_proxy_resident_memory_bytes") > 10e6
    assert exposed_value("scribe_proxy_cpu_seconds_total") > before


def test_memory_is_that_of_the_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert 0 < (resident_memory(child.pid) or 0) < (resident_memory() or 0)
        child.communicate()
    assert resident_memory(2**22 + 1) is None


def test_processor_time_is_counted_once() -> None:
    began, metrics = time.process_time(), ProcessMetrics(lambda: (0, 0, 0))
    metrics.sample()
    before = exposed_value("scribe_proxy_cpu_seconds_total")
    for _ in range(5):
        metrics.sample()
    assert exposed_value("scribe_proxy_cpu_seconds_total") - before <= time.process_time() - began


def test_files_of_dead_workers_only_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = tmp_path / f"gauge_livesum_{ended.pid}.db"
    retained = [
        tmp_path / f"gauge_livesum_{os.getpid()}.db",
        tmp_path / f"counter_{ended.pid}.db",
        tmp_path / "gauge_live.db",
    ]
    for file in (dead, *retained):
        file.touch()
    remove_dead_workers(tmp_path)
    assert not dead.exists()
    assert all(file.exists() for file in retained)
