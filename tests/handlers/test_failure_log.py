"""The log's entries about a failure, which have no content of requests."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest

from handlers.failure_log import summary_of, trace_of
from handlers.storage.errors import RefusedError, translate_errors
from handlers.storage.store import Store
from tests.support.backends import scratch_database

CANARY = "jane.roe@clinic.example"


def fail(depth: int) -> None:
    if depth:
        fail(depth - 1)
    raise RefusedError(CANARY, 11000) from ValueError(CANARY)


def test_trace_contains_types_codes_and_locations_only() -> None:
    with pytest.raises(RefusedError) as raised:
        fail(3)
    trace = trace_of(raised.value)
    assert trace.startswith("RefusedError (code 11000) at test_failure_log.py:")
    assert re.fullmatch(r".* \[[0-9a-f]{8}\] from ValueError at - \[[0-9a-f]{8}\]", trace)
    assert summary_of(raised.value) == "RefusedError (code 11000) from ValueError"
    assert CANARY not in trace


def test_trace_of_a_deep_recursion_is_short() -> None:
    def recurse() -> None:
        recurse()

    with pytest.raises(RecursionError) as raised:
        recurse()
    assert len(trace_of(raised.value)) < 1000


async def test_failed_index_is_logged_without_values(
    mongodb_url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, "handlers")
    with scratch_database(mongodb_url) as database:
        database.users.insert_many([{"email": CANARY}, {"email": CANARY}])
        store = Store(mongodb_url, database.name)
        async with asyncio.timeout(60):
            await store.make_indexes()
        await store.close()
    assert "index not created on users: DuplicateError (code 11000)" in caplog.text
    assert CANARY not in caplog.text + "".join(capfd.readouterr())


def test_translated_errors_keep_the_server_message() -> None:
    # The legacy dialect answers with the message; only the log must not contain it.
    with pytest.raises(Exception, match=CANARY), translate_errors():
        raise ValueError(CANARY)
