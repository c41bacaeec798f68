"""What every test may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.mongod import mongodb


@pytest.fixture(scope="session")
def mongodb_url() -> Iterator[str]:
    """A real MongoDB (a replica set): `MONGODB_URL`, or a mongod of this test run's own."""
    with mongodb() as url:
        yield url
