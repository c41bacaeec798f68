"""Run the cases of some families once for a test module."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

import uvloop

from tests.conformance.cases import cases
from tests.conformance.oracle import node_oracle
from tests.conformance.run import Depth, Outcome, run_gateway
from tests.support.profile import IS_QUICK

DEPTH: Final[Depth] = "brief" if IS_QUICK else "quick"


def run_once(families: Collection[str], directory: Path) -> list[Outcome]:
    """Return the gateway's outcomes of all cases of the families."""
    chosen = [case for case in cases() if case.family in families]
    logging.disable(logging.ERROR)  # refused requests and broken answers, by the thousand
    try:
        with node_oracle() as oracle, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run_gateway(chosen, directory, oracle, DEPTH))
    finally:
        logging.disable(logging.NOTSET)


def assert_right(outcomes: Iterable[Outcome], family: str) -> None:
    """Raise unless the family has cases, each is right, and each known fault is wrong."""
    own = [outcome for outcome in outcomes if outcome.case.family == family]
    assert own
    wrong = [outcome for outcome in own if outcome.finding.verdict and not outcome.case.known]
    assert not wrong, "\n".join(f"{each.case.name}: {each.finding.verdict.label}: {each.described}" for each in wrong)
    mended = [each.case.name for each in own if each.case.known and not each.finding.verdict]
    assert not mended, f"the faults are mended: take the cases out of known_faults.txt: {mended}"
