"""The metrics that Prometheus reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.observability import metrics


def test_workers_are_gathered_from_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert metrics.expose() == b""
