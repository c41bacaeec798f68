"""Timeouts of a native app under test, which are long enough for a busy machine."""

from __future__ import annotations

from typing import Final

from handlers.container import ServiceTimings
from tests.support.waiting import PROMPT_TIMEOUT

PATIENT: Final = ServiceTimings(database_timeout=PROMPT_TIMEOUT)
"""For tests in which the database is neither slow nor unavailable."""
