"""One Node process for each module that compares with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.node_child import Node


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node() as child:
        yield child
