"""Runs the cases of some families once for a test module."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import uvloop

from tests.conformance.case import Case
from tests.conformance.entrances import NGINX
from tests.conformance.oracle import node_oracle
from tests.conformance.run import Outcome, run_gateway, run_nginx


def run_both(cases: Sequence[Case], place: Path) -> tuple[dict[str, Outcome], dict[str, Outcome]]:
    """Return the outcomes by name: of the gateway, and of nginx where it is installed."""

    async def run() -> tuple[list[Outcome], list[Outcome]]:
        gateway = asyncio.create_task(run_gateway(cases, place, oracle, "quick"))
        nginx = await run_nginx(cases, place, oracle) if NGINX is not None else []
        return await gateway, nginx

    with node_oracle() as oracle, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        gateway, nginx = runner.run(run())
    return {outcome.case.name: outcome for outcome in gateway}, {outcome.case.name: outcome for outcome in nginx}


def assert_right(case: Case, gateway: dict[str, Outcome], nginx: dict[str, Outcome]) -> None:
    """Raise where the gateway's outcome is wrong or worse than nginx's, or right although the case is a known fault."""
    outcome = gateway[case.name]
    if case.known:
        assert outcome.finding.verdict, "the fault is mended: take the case out of known_faults.txt"
        return
    assert not outcome.finding.verdict, f"{outcome.finding.verdict.label}: {outcome.described}"
    if nginx:
        assert outcome.finding.verdict <= nginx[case.name].finding.verdict
