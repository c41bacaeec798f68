"""The nginx of docs/conformance.md answers ordinary cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.cases import cases
from tests.conformance.entrances import NGINX
from tests.conformance.run import run_nginx

ORDINARY = {"Request framing: a length", "Request framing: chunked", "Answer framing: a length"}


@pytest.mark.skipif(NGINX is None, reason="no nginx")
async def test_nginx_gets_ordinary_cases_right(tmp_path: Path) -> None:
    chosen = [case for case in cases() if case.name in ORDINARY]
    outcomes = await run_nginx(chosen, tmp_path, None, lanes=2)
    assert {outcome.case.name: outcome.finding.verdict.label for outcome in outcomes} == dict.fromkeys(
        ORDINARY, "right"
    )
