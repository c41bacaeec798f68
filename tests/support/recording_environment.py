"""The services that a backend needs to play recordings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.ports import free_port
from demo.services import DemoLegacy, Upstreams, backend_environment
from proxy.recordings.report import Report

HANG = 6.0
"""Seconds after which the player gives up; the gateway gives up on legacy before that."""


@dataclass(frozen=True)
class RecordingEnvironment:
    """A test's own database and outside services, and the environment variables that name them."""

    mongodb_url: str
    upstreams_url: str
    database: str
    directory: Path

    @property
    def variables(self) -> dict[str, str]:
        return backend_environment(self.mongodb_url, self.upstreams_url, self.database)


@pytest.fixture
def environment(mongodb_url: str, tmp_path: Path) -> Iterator[RecordingEnvironment]:
    upstreams = Upstreams(tmp_path / "upstreams.log")
    upstreams.start()
    try:
        database = f"recordings_{free_port()}"
        yield RecordingEnvironment(mongodb_url, upstreams.url, database, tmp_path)
    finally:
        upstreams.stop()


@contextmanager
def legacy(environment: RecordingEnvironment) -> Iterator[str]:
    service = DemoLegacy(environment.variables, environment.directory / "legacy.log")
    service.start()
    try:
        yield service.url
    finally:
        service.stop()


def describe_differences(report: Report) -> str:
    """Return the differences of a report as the message of a failing test."""
    return "\n".join(
        f"{result.scenario} / {result.name} {result.endpoint}: {result.unexplained}"
        for result in report.results
        if result.verdict == "differing"
    )
