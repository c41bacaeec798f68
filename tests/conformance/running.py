"""Run the cases of some families once for a test module."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from tests.conformance.case import Case
from tests.conformance.oracle import node_oracle
from tests.conformance.run import Depth, Outcome, run_gateway
from tests.support.profile import IS_QUICK

DEPTH: Final[Depth] = "brief" if IS_QUICK else "quick"


def run_once(cases: Sequence[Case], directory: Path) -> dict[str, Outcome]:
    """Return the gateway's outcomes by name."""
    with node_oracle() as oracle, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcomes = runner.run(run_gateway(cases, directory, oracle, DEPTH))
    return {outcome.case.name: outcome for outcome in outcomes}


def assert_right(outcome: Outcome) -> None:
    """Raise if an outcome is wrong, or right although the case is a known fault."""
    if outcome.case.known:
        assert outcome.finding.verdict, "the fault is mended: take the case out of known_faults.txt"
        return
    assert not outcome.finding.verdict, f"{outcome.finding.verdict.label}: {outcome.described}"
