"""The log's entries about a failure, which have no content of requests."""

from __future__ import annotations

import ast
import asyncio
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.failure_log import summary_of, trace_of
from handlers.storage.errors import RefusedError, translate_errors
from handlers.storage.store import Store
from tests.support.backends import scratch_database

CANARY = "jane.roe@clinic.example"
ROOT = Path(__file__).parents[2]
DESCRIPTIONS = {"summary_of", "trace_of", "type"}
"""Functions whose results have no message of an exception."""


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


def logged_errors(tree: ast.AST) -> Iterator[int]:
    """Yield the lines of log calls with a caught exception, unless one of DESCRIPTIONS describes it."""
    caught = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith(("logger.", "logging.")):
            values = [*call.args, *(keyword.value for keyword in call.keywords)]
            yield from (call.lineno for value in values if caught & set(names_in(value)))


def names_in(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in DESCRIPTIONS:
        return
    if isinstance(node, ast.Name):
        yield node.id
    for child in ast.iter_child_nodes(node):
        yield from names_in(child)


def test_log_calls_do_not_quote_exceptions() -> None:
    sources = [path for package in ("handlers", "common") for path in sorted((ROOT / package).rglob("*.py"))]
    assert [f"{path}:{line}" for path in sources for line in logged_errors(ast.parse(path.read_text()))] == []


@pytest.mark.parametrize("quoted", ["'%s', error", "f'{error}'", "'%s', str(error.args)", "'x', exc_info=error"])
def test_quoted_exception_is_reported(quoted: str) -> None:
    handler = f"try: pass\nexcept OSError as error:\n logger.error({quoted})"
    assert list(logged_errors(ast.parse(handler))) == [3]
