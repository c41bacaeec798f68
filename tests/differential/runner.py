"""The two backends of a differential test: a `Differential` that accepts the contract's divergences."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from proxy.contract import divergences
from proxy.contract.divergences import Divergence
from proxy.fuzz.differential import Differential
from proxy.fuzz.options import FuzzBackend
from proxy.recordings.player import PlayerSettings
from tests.support.waiting import HANG_TIMEOUT

CONTRACTS: Final = Path(__file__).parents[2] / "contracts"
HANG_AFTER: Final = 1.5
"""Seconds without an answer that count as never."""


@contextlib.asynccontextmanager
async def between(
    legacy: FuzzBackend, native: FuzzBackend, declared: tuple[Divergence, ...] | None = None
) -> AsyncIterator[Differential]:
    """Open two running sides; `declared` divergences are the contract's own unless given."""
    known = declared_divergences() if declared is None else declared
    settings = PlayerSettings(2 * HANG_AFTER, divergences=known, restart_timeout=HANG_TIMEOUT)
    async with Differential.between(legacy, native, settings, hang_after=HANG_AFTER) as differential:
        yield differential


def declared_divergences() -> tuple[Divergence, ...]:
    """Return the contract's."""
    return divergences.load(CONTRACTS / "divergences.yaml")
