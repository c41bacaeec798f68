"""The event loops on which a module's tests run."""

from __future__ import annotations

from tests.support.event_loop import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
