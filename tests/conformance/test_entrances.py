"""The nginx of docs/conformance.md answers ordinary cases; the gateway beside it records its requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.cases import cases
from tests.conformance.entrances import LIMIT, NGINX, ROUTING, RecordedGateway
from tests.conformance.run import run_nginx
from tests.support.waiting import until

ORDINARY = {"Request framing: a length", "Request framing: chunked", "Answer framing: a length"}


@pytest.mark.skipif(NGINX is None, reason="no nginx")
async def test_nginx_gets_ordinary_cases_right(tmp_path: Path) -> None:
    chosen = [case for case in cases() if case.name in ORDINARY]
    outcomes = await run_nginx(chosen, tmp_path, None, lanes=2, limit=60)
    assert {outcome.case.name: outcome.finding.verdict.label for outcome in outcomes} == dict.fromkeys(
        ORDINARY, "right"
    )


async def test_gateway_records_requests_after_a_reload(tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text(ROUTING.format(upstream=9, limit=LIMIT))
    process = RecordedGateway(file, {})
    async with process.running():
        file.write_text(ROUTING.format(upstream=9, limit=LIMIT + 1))
        await until(lambda: process.watcher.applied)
        assert process.gateway.snapshot.config.server.request_timeout == LIMIT + 1
        assert process.gateway.snapshot.legacy is process.forwarded
