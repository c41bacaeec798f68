"""Reports that the tests of `scribe-proxy report` share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.contract.bundle import load_divergences
from proxy.contract.reading import load
from tests.support.stored_reports import CONTRACT, DIVERGENCES, drop_reports, write_reports


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("contracts")
    (directory / "openapi.yaml").write_text(CONTRACT)
    (directory / "divergences.yaml").write_text(DIVERGENCES)
    return directory


@pytest.fixture(scope="module")
def reported(mongodb_url: str, contracts: Path) -> Iterator[str]:
    """Store a day's reports: all answers are equal on one route, and almost none on another."""
    contract = load(contracts / "openapi.yaml")
    declared = load_divergences(contracts / "divergences.yaml", contract)
    asyncio.run(write_reports(mongodb_url, contract, declared))
    yield mongodb_url
    asyncio.run(drop_reports(mongodb_url))
