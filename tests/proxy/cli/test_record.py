"""`record` plays scenarios against a real service and writes what `verify` then finds equal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pymongo import AsyncMongoClient

from proxy.cli.main import main
from proxy.recordings import model
from proxy.recordings.recorder import Recorder, Script, encode_recordings, read_scripts
from proxy.recordings.side_effects import SideEffectsError
from proxy.types import JSON
from tests.support.notebook import DATABASE, Database, Notebook, a_days_work
from tests.support.notebook import record as write_by_hand
from tests.support.sockets import read_head, scripted, serving

BEARER: JSON = {"authorization": "Bearer {{login:/token}}"}
DAY: JSON = {
    "scenario": "day",
    "about": "log in, write, read",
    "env": {"kept": "as it is"},
    "steps": [
        {"name": "login", "request": {"method": "POST", "path": "/login", "json": {"name": "amara"}}},
        {
            "name": "write",
            "request": {"method": "POST", "path": "/notes", "headers": BEARER, "json": {"body": "first"}},
        },
        {
            "name": "again",
            "request": {
                "method": "POST",
                "path": "/notes",
                "headers": BEARER,
                "content": '{"body":"was {{write:/body}}"}',
            },
        },
        {"name": "read", "request": {"method": "GET", "path": "/notes/{{write:/_id}}"}},
        {"name": "gone", "request": {"method": "GET", "path": "/notes/64b7f0f0f0f0f0f0f0f0f0f0"}},
    ],
}


@pytest.fixture
async def client(mongodb_url: str) -> AsyncIterator[Database]:
    async with AsyncMongoClient[dict[str, Any]](mongodb_url) as client:
        yield client
        await client.drop_database(DATABASE)


@pytest.fixture
def scenarios(tmp_path: Path) -> Path:
    file = tmp_path / "scenarios.json"
    file.write_text(json.dumps([DAY]))
    return file


async def run(*arguments: object) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, main, [str(one) for one in arguments])


async def test_recorded_service_is_verified_as_equal(
    client: Database, mongodb_url: str, scenarios: Path, tmp_path: Path
) -> None:
    async with serving(Notebook(client).app) as port:
        base = f"http://127.0.0.1:{port}"
        around = ("--mongodb-url", mongodb_url, "--database", DATABASE, "--calls-url", f"{base}/calls")
        made = await run("record", scenarios, "--base-url", base, "--into", tmp_path / "new", *around)
        assert made.exit_code == 0, made.output
        assert made.output == f"{tmp_path}/new/http.json: 1 scenario, 5 requests\n"
        verified = await run("verify", "--base-url", base, "--recordings", tmp_path / "new", *around)
    assert verified.exit_code == 0, verified.output
    assert "Equal: 5 of 5 steps, 1 of 1 stores, 1 of 1 outside calls." in verified.output
    (entry,) = json.loads((tmp_path / "new" / "http.json").read_text())
    assert (entry["about"], entry["env"]) == ("log in, write, read", {"kept": "as it is"})
    steps = {step["name"]: step for step in entry["steps"]}
    assert steps["read"]["response"]["json"]["body"] == "first"
    assert steps["again"]["request"]["content"] == '{"body":"was first"}'
    assert steps["gone"]["response"]["status"] == 404
    assert "json" not in steps["gone"]["response"]
    assert len(entry["store"]["notes"]) == len(entry["calls"]) == 2
    assert "{{" not in json.dumps(entry)


async def test_old_recordings_are_played_with_new_ids_and_tokens(
    client: Database, mongodb_url: str, tmp_path: Path
) -> None:
    async with serving(Notebook(client).app) as port:
        base = f"http://127.0.0.1:{port}"
        old = await write_by_hand(port, client, a_days_work())
        (tmp_path / "http.json").write_text(json.dumps([old]))
        (tmp_path / "ws.json").write_text("[]")
        around = ("--mongodb-url", mongodb_url, "--database", DATABASE)
        made = await run("record", tmp_path, "--base-url", base, "--into", tmp_path / "new", *around)
    assert made.exit_code == 0, made.output
    assert "the conversations in ws.json were not played" in made.stderr
    before, after = (model.load(directory).scenarios[0].steps for directory in (tmp_path, tmp_path / "new"))
    assert (
        [step.answer.status for step in after] == [step.answer.status for step in before] == [200, 201, 201, 200, 404]
    )
    assert before[3].request.target != after[3].request.target
    assert json.loads(after[3].answer.text)["_id"] == after[3].request.target.rpartition("/")[2]


async def test_recordings_are_replaced_with_the_option_only(scenarios: Path, tmp_path: Path, client: Database) -> None:
    (tmp_path / "http.json").write_text("mine")
    refused = await run("record", scenarios, "--base-url", "http://127.0.0.1:1", "--into", tmp_path)
    assert (refused.exit_code, "--force replaces it" in refused.output) == (2, True)
    unreachable = await run("record", scenarios, "--base-url", "http://127.0.0.1:1", "--into", tmp_path, "--force")
    assert (unreachable.exit_code, "127.0.0.1:1" in unreachable.stderr) == (2, True)
    assert (tmp_path / "http.json").read_text() == "mine"
    async with serving(Notebook(client).app) as port:
        base = f"http://127.0.0.1:{port}"
        made = await run("record", scenarios, "--base-url", base, "--into", tmp_path, "--force")
    assert made.exit_code == 0, made.output
    assert [one.name for one in model.load(tmp_path).scenarios] == ["day"]


async def test_whole_scenarios_outlast_a_failure(scenarios: Path, tmp_path: Path, client: Database) -> None:
    dangling: JSON = {
        "scenario": "lost",
        "steps": [
            {"name": "a", "request": {"method": "GET", "path": "/"}},
            {"name": "b", "request": {"method": "GET", "path": "/{{a:/id}}"}},
        ],
    }
    scenarios.write_text(json.dumps([DAY, dangling]))
    async with serving(Notebook(client).app) as port:
        base = f"http://127.0.0.1:{port}"
        made = await run("record", scenarios, "--base-url", base, "--into", tmp_path / "new")
    assert made.exit_code == 2
    assert "lost / b: the answer of a has nothing at /id" in made.stderr
    assert "has 1 complete scenario" in made.stderr
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["http.json.partial"]
    assert len(json.loads((tmp_path / "new" / "http.json.partial").read_text())) == 1


async def test_interruption_keeps_complete_scenarios(
    scenarios: Path, tmp_path: Path, client: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    play, played = Recorder.record, list[str]()

    async def record_once(self: Recorder, script: Script, *rest: Any) -> dict[str, JSON]:
        if played:
            raise KeyboardInterrupt
        played.append(script.scenario.name)
        return await play(self, script, *rest)

    monkeypatch.setattr(Recorder, "record", record_once)
    scenarios.write_text(json.dumps([DAY, DAY]))
    async with serving(Notebook(client).app) as port:
        base = f"http://127.0.0.1:{port}"
        made = await run("record", scenarios, "--base-url", base, "--into", tmp_path / "new")
    assert made.exit_code == 130
    assert "has 1 complete scenario" in made.stderr


async def test_hangs_and_resets_are_recorded_as_such(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if b"/hang" in head:
            await asyncio.sleep(3600)
        elif b"/reset" not in head:
            writer.write(b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\n{")

    file = tmp_path / "scenarios.json"
    steps: JSON = [
        {"name": name, "request": {"method": "GET", "path": f"/{name}", "content": [0, 255]}}
        for name in ("hang", "reset", "odd")
    ]
    file.write_text(json.dumps([{"scenario": "s", "steps": steps}]))
    async with scripted(answer) as port:
        base = f"http://127.0.0.1:{port}"
        made = await run("record", file, "--base-url", base, "--into", tmp_path / "new", "--hang-after", 2.0)
    assert made.exit_code == 0, made.output
    (entry,) = json.loads((tmp_path / "new" / "http.json").read_text())
    assert [step["outcome"] for step in entry["steps"]] == ["hang", "reset", "response"]
    assert entry["steps"][2]["response"]["text"] == "{"
    assert "json" not in entry["steps"][2]["response"]
    assert entry["steps"][0]["request"]["content"] == [0, 255]
    assert "store" not in entry


def scenario(*requests: dict[str, JSON]) -> JSON:
    return {"scenario": "s", "steps": [{"name": str(n), "request": one} for n, one in enumerate(requests)]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "scenarios.json: "),
        ("{}", "a list of scenarios is expected"),
        ("[]", "a list of scenarios is expected"),
        ("[7]", "entry 0: a scenario is an object"),
        ('[{"steps": []}]', "entry 0: 'scenario' is missing"),
        ('[{"scenario": "s", "steps": [7]}]', "entry 0: an object is expected"),
        ('[{"scenario": "s", "steps": 7}]', "entry 0: a list is expected"),
        (
            json.dumps([scenario({"method": "GET", "path": "/{{1:/id}}"}, {"method": "GET", "path": "/"})]),
            "comes later",
        ),
        (json.dumps([scenario({"method": "GET", "path": "/{{0:/id}}"})]), "comes later"),
    ],
)
async def test_malformed_scenarios_are_reported(scenarios: Path, tmp_path: Path, content: str, message: str) -> None:
    scenarios.write_text(content)
    result = await run("record", scenarios, "--base-url", "http://127.0.0.1:1", "--into", tmp_path / "new")
    assert (result.exit_code, message in result.output) == (2, True), result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--mongodb-url", "mongodb://db.example/x"), "--yes-empty-database"),
        (("--mongodb-url", "mongodb://127.0.0.1"), "--database"),
        (("--mongodb-url", "mongodb://127.0.0.1", "--database", "admin"), "MongoDB's own"),
        (("--mongodb-url", "http://127.0.0.1"), "invalid MongoDB URL"),
        (("--only", "nothing"), "no scenario matches"),
        (("--base-url", "nonsense"), "not an http or https URL"),
    ],
)
async def test_wrong_usage_is_reported(
    scenarios: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    base = ("--base-url", "http://127.0.0.1:1", "--into", tmp_path / "new")
    result = await run("record", scenarios, *base, *arguments)
    assert (result.exit_code, message in result.output) == (2, True), result.output
    assert not (tmp_path / "new").exists()


async def test_references_resolve_in_lists_and_objects_only() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        body = b'{"a/b": [{"id": 7}], "n": null}'
        writer.write(b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 31\r\n\r\n" + body)

    get: dict[str, JSON] = {"method": "GET", "path": "/"}
    templated: dict[str, JSON] = {
        **get,
        "headers": {"x": "{{0:/a~1b/0/id}} {{0:/a~1b}} {{other:/x}} {{y}}", "y": "{{0}}"},
    }
    script = Script.read(scenario(get, templated))
    async with scripted(answer) as port:
        entry = await Recorder(f"http://127.0.0.1:{port}").record(script)
        assert isinstance(entry["steps"], list)
        second = entry["steps"][1]
        assert isinstance(second, dict)
        assert second["request"] == {
            **get,
            "headers": {"x": '7 [{"id": 7}] {{other:/x}} {{y}}', "y": '{"a/b": [{"id": 7}], "n": null}'},
        }
        for pointer in ("/n", "/a~1b/9", "/a~1b/x", "/a~1b/0/id/deeper"):
            lacking = Script.read(scenario(get, {**get, "path": f"/{{{{0:{pointer}}}}}"}))
            with pytest.raises(model.RecordingError, match="has nothing at"):
                await Recorder(f"http://127.0.0.1:{port}").record(lacking)


def test_lone_surrogates_can_be_written() -> None:
    entries: list[JSON] = [{"a": "\ud800"}]
    assert json.loads(encode_recordings(entries)) == entries
    assert "é".encode() in encode_recordings(["é"])


def test_shipped_recordings_are_scenarios() -> None:
    scripts = read_scripts(Path(__file__).parents[3] / "contracts" / "recordings")
    assert len(scripts) >= 44
    assert sum(len(script.steps()) for script in scripts) >= 301


async def test_unreachable_database_is_reported(scenarios: Path, tmp_path: Path) -> None:
    assert issubclass(SideEffectsError, Exception)

    async def idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with scripted(idle) as port:
        base = ("--base-url", f"http://127.0.0.1:{port}", "--into", tmp_path / "new")
        result = await run(
            "record", scenarios, *base, "--mongodb-url", "mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=100"
        )
    assert (result.exit_code, "MongoDB: " in result.output) == (2, True)


async def test_every_cookie_is_recorded_and_read_again() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        cookies = b"Set-Cookie: a=1; Path=/, x\r\nset-cookie: b=2\r\n"
        writer.write(b"HTTP/1.1 200 X\r\n" + cookies + b"content-length: 0\r\n\r\n")

    async with scripted(answer) as port:
        recorded = await Recorder(f"http://127.0.0.1:{port}").record(
            Script.read(scenario({"method": "GET", "path": "/"}))
        )
    (one,) = model.scenario(recorded).steps
    assert json.dumps(["a=1; Path=/, x", "b=2"]) in json.dumps(recorded)
    assert one.answer.headers["set-cookie"] == "a=1; Path=/, x\nb=2"
