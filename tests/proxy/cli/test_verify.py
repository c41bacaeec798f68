"""`verify` reports differences as text or JSON, and by its exit code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pymongo import AsyncMongoClient

from proxy.cli.verify import verify
from proxy.types import JSON
from tests.support.notebook import DATABASE, Database, Notebook, a_days_work, record
from tests.support.sockets import read_head, scripted, serving
from tests.support.waiting import PROMPT_TIMEOUT

NOWHERE = "http://127.0.0.1:1"
DRAFTS = """
- id: drafts
  operation: STORE notes
  legacy: stores none
  native: stores whether it is a draft
  reason: new
  since: "1"
  when: [{}, {operation: "GET /notes/{id}"}]
- {id: unused, operation: GET /none, legacy: a, native: b, reason: c, since: "1", when: {}}
"""


@pytest.fixture
async def client(mongodb_url: str) -> AsyncIterator[Database]:
    async with AsyncMongoClient[dict[str, Any]](mongodb_url) as client:
        yield client
        await client.drop_database(DATABASE)


@pytest.fixture
async def recordings(client: Database, tmp_path: Path) -> Path:
    async with serving(Notebook(client).app) as port:
        (tmp_path / "http.json").write_text(json.dumps([await record(port, client, a_days_work())]))
    return tmp_path


async def run(*arguments: object) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, verify, [str(one) for one in arguments])


async def run_against(client: Database, fault: str, url: str, recordings: Path, *arguments: object) -> Result:
    async with serving(Notebook(client, fault).app) as port:
        base = f"http://127.0.0.1:{port}"
        around = ("--mongodb-url", url, "--database", DATABASE, "--calls-url", f"{base}/calls")
        return await run("--base-url", base, "--recordings", recordings, *around, *arguments)


async def test_equal_is_0(client: Database, mongodb_url: str, recordings: Path) -> None:
    result = await run_against(client, "", mongodb_url, recordings)
    assert result.exit_code == 0, result.output
    assert "Equal: 5 of 5 steps, 1 of 1 stores, 1 of 1 outside calls." in result.output
    assert "GET /notes/{id}" in result.output


async def test_difference_is_1_with_position_and_both_values(
    client: Database, mongodb_url: str, recordings: Path
) -> None:
    result = await run_against(client, "status", mongodb_url, recordings)
    assert result.exit_code == 1
    assert "differing  notes / 1  POST /notes" in result.output
    assert "status (status, breaking)\n    recorded  201\n    live      200" in result.output
    assert "Differing: 2." in result.output


@pytest.mark.parametrize(("arguments", "exit_code"), [(("--strict",), 0), (("--strict", "--plays", 1), 1)])
async def test_strict_difference_of_dates_is_played_again(
    client: Database, mongodb_url: str, recordings: Path, arguments: tuple[object, ...], exit_code: int
) -> None:
    result = await run_against(client, "one date once", mongodb_url, recordings, *arguments)
    assert result.exit_code == exit_code, result.output
    assert ("differing  notes / 2  POST /notes\n  body.at (value, major)" in result.output) is bool(exit_code)


@pytest.mark.parametrize("is_named", [True, False])
async def test_declared_is_0_with_its_id(
    client: Database, mongodb_url: str, recordings: Path, tmp_path: Path, is_named: bool
) -> None:
    directory = tmp_path / "recordings"
    directory.mkdir()
    (recordings / "http.json").rename(directory / "http.json")
    file = tmp_path / "divergences.yaml"
    file.write_text(DRAFTS)
    named = ("--divergences", file) if is_named else ()
    result = await run_against(client, "extra field", mongodb_url, directory, *named)
    assert result.exit_code == 0, result.output
    assert "declared  notes / 3  GET /notes/{id}  [drafts]" in result.output
    assert "Declared: 2. Differing: 0." in result.output
    assert "Declared but not observed: unused" in result.output
    part = await run_against(client, "extra field", mongodb_url, directory, *named, "--only", "notes")
    assert (part.exit_code, "Declared but not observed" in part.output) == (0, False), part.output


@pytest.mark.parametrize("emptied", [True, False])
async def test_documents_that_remain_are_named_as_a_cause(
    client: Database, mongodb_url: str, recordings: Path, emptied: bool
) -> None:
    async with serving(Notebook(client, "status").app) as port:
        base = ("--base-url", f"http://127.0.0.1:{port}", "--recordings", recordings)
        result = await run(*base, *(("--mongodb-url", mongodb_url, "--database", DATABASE) if emptied else ()))
    assert result.exit_code == 1
    assert ("start from an empty database" in result.stderr) is not emptied


async def test_json_contains_the_whole_report(client: Database, mongodb_url: str, recordings: Path) -> None:
    result = await run_against(client, "another id", mongodb_url, recordings, "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (report["equal"], report["declared"], report["differing"]) == (6, 0, 1)
    assert report["results"][0]["differences"][0]["path"] == "body._id"


def one_step(directory: Path, outcome: str) -> Path:
    request: JSON = {"method": "GET", "path": "/x"}
    step: JSON = {"name": "one", "request": request, "outcome": outcome}
    scenario: JSON = {"scenario": "single", "steps": [step]}
    (directory / "http.json").write_text(json.dumps([scenario]))
    return directory


async def answer_504(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_head(reader)
    writer.write(b"HTTP/1.1 504 X\r\nserver: x\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("arguments", "status"), [((), 1), (("--accept", "hang=504"), 0), (("--accept", "hang=502"), 1)]
)
async def test_status_option_stands_for_a_hang(tmp_path: Path, arguments: tuple[str, ...], status: int) -> None:
    async with scripted(answer_504) as port:
        base = ("--base-url", f"http://127.0.0.1:{port}", "--hang-after", PROMPT_TIMEOUT)
        result = await run(*base, "--recordings", one_step(tmp_path, "hang"), *arguments)
    assert result.exit_code == status
    assert "hang" in result.output or status == 0


async def test_headers_option_omits_headers(tmp_path: Path) -> None:
    response: JSON = {"status": 504, "headers": {"content-length": "0"}, "text": ""}
    step: JSON = {"name": "one", "request": {"method": "GET", "path": "/"}, "outcome": "response", "response": response}
    (tmp_path / "http.json").write_text(json.dumps([{"scenario": "single", "steps": [step]}]))
    async with scripted(answer_504) as port:
        base = ("--base-url", f"http://127.0.0.1:{port}", "--recordings", tmp_path)
        assert (await run(*base)).exit_code == 1
        assert (await run(*base, "--ignore-header", "Server")).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "127.0.0.1:1"),
        (("--accept", "response=200"), "hang=STATUS or reset=STATUS"),
        (("--accept", "hang"), "hang=STATUS or reset=STATUS"),
        (("--mongodb-url", "mongodb://db.example/x"), "--yes-empty-database"),
        (("--mongodb-url", "mongodb://127.0.0.1"), "--database"),
        (("--mongodb-url", "mongodb://127.0.0.1", "--database", "admin"), "MongoDB's own"),
        (("--mongodb-url", "http://127.0.0.1"), "invalid MongoDB URL"),
        (("--only", "nothing"), "no recording"),
        (("--base-url", "nonsense"), "not an http or https URL"),
        (("--recordings", "/nowhere"), "does not exist"),
    ],
)
async def test_wrong_usage_is_2(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    directory = one_step(tmp_path, "hang")
    result = await run("--base-url", NOWHERE, "--recordings", directory, *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "Traceback" not in result.output


async def test_unreadable_files_are_2(tmp_path: Path) -> None:
    base = ("--base-url", NOWHERE, "--recordings", tmp_path)
    assert "neither http.json" in (await run(*base)).output
    faulty = one_step(tmp_path, "hang") / "divergences.yaml"
    faulty.write_text("- id: x")
    result = await run(*base, "--divergences", faulty)
    assert (result.exit_code, "Field required" in result.output) == (2, True)


async def test_foreign_database_is_emptied_with_the_option_only(tmp_path: Path) -> None:
    foreign = ("--mongodb-url", "mongodb://db.invalid/x?serverSelectionTimeoutMS=100", "--yes-empty-database")
    async with scripted(answer_504) as port:
        base = ("--base-url", f"http://127.0.0.1:{port}", "--recordings", one_step(tmp_path, "hang"))
        result = await run(*base, *foreign)
    assert (result.exit_code, "MongoDB: " in result.output) == (2, True)
