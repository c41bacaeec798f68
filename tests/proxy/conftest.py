"""The event loops on which a module's tests run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Return the module's own `LOOPS`, if it names some: uvloop is what the gateway runs on."""
    loops: Mapping[str, LoopFactory] = getattr(item.getparent(pytest.Module).obj, "LOOPS", {})  # type: ignore[union-attr]
    return loops or {"asyncio": asyncio.new_event_loop}
