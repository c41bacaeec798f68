"""The event loops on which a module's tests run, and a fixture of several modules."""

from __future__ import annotations

from tests.support.direct_reads import open_direct
from tests.support.event_loop import pytest_asyncio_loop_factories

__all__ = ["open_direct", "pytest_asyncio_loop_factories"]
