"""A database for reports, with their writer and reader."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from proxy.database.database import Database
from proxy.database.driver import DRIVERS
from proxy.reports.reader import ReportReader
from proxy.reports.storage import COUNTS, SAMPLES
from proxy.reports.writer import ReportWriter
from tests.support.report_events import SETTINGS


@pytest.fixture(scope="session")
def database_name(mongodb_url: str) -> Iterator[str]:
    """Return the name of this process's database; drop the database at the end."""
    name = f"test_reports_{os.getpid()}"
    yield name
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        client.drop_database(name)


@pytest.fixture(params=DRIVERS)
async def database(mongodb_url: str, database_name: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """Empty the database after each test, which is faster than to create the indexes again."""
    database = Database(mongodb_url, database_name, driver=request.param)
    yield database
    for name in (*COUNTS.values(), SAMPLES):
        await database.collection(name).delete_many({})
    await database.close()


@pytest.fixture
def reports(database: Database) -> ReportWriter:
    return ReportWriter(database, SETTINGS)


@pytest.fixture
def reading(database: Database) -> ReportReader:
    return ReportReader(database)
