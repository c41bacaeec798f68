"""One process with mongoose for each module that compares with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.mongoose_oracle import Oracle


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    process = Oracle()
    yield process
    process.close()
