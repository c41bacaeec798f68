"""A gateway process as the ops pages see it, and a client of the pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from demo.ports import free_port
from proxy.ops.app import create_ops
from tests.support.ops_server import Stage, stage


@pytest.fixture
def staged(tmp_path: Path) -> Stage:
    """Return a process without a database, whose legacy does not exist."""
    return stage(tmp_path, free_port())


@pytest.fixture
def client(staged: Stage) -> Iterator[TestClient]:
    """Yield a client of the pages, which need no token."""
    with TestClient(create_ops(staged)) as client:
        yield client
