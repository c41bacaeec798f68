"""A patient's data passes a real gateway in every possible part of a request, and is stored or printed nowhere.

The search covers everything that is stored or printed: the access log and all other logs of the gateway and its shadow
process, metrics, ops pages and their JSON, events of the webhook, every document in the gateway's MongoDB, the saved
configuration, each form of `report`, `status`, and captured recordings.
"""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import time
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from bson import json_util
from click.testing import CliRunner
from pymongo import AsyncMongoClient
from websockets.asyncio.client import connect

from proxy.capture.jobs import CaptureJob, CaptureJobs
from proxy.cli.main import main
from proxy.database.database import Database
from proxy.reports.models import Span
from proxy.reports.reader import ReportReader
from tests.support import leaky_apps
from tests.support.command_line import served
from tests.support.sockets import exchange, serving
from tests.support.waiting import BRIEFLY_IDLE, HANG_TIMEOUT
from tests.support.webhook_receiver import WebhookReceiver

DATABASE = "test_privacy"
NAME = "Zxqvyölönk"
"""A text of no language: any part of it that is found was leaked."""
NUMBER = "943 476 5919"
PATIENT = f"{NAME} {NUMBER}"
ROUTES = ("notes", "write", "raise", "rest", "stream")
CONTRACT = """
openapi: 3.1.1
info: {title: Notes, version: '1'}
paths:
  /api/notes/{id}:
    get: &said
      operationId: notes.get
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses:
        '200':
          description: OK
          content:
            application/json:
              schema: &note
                type: object
                properties:
                  note: {type: string}
                  age: {type: integer}
                  status: {enum: [active, ended], x-report: show}
    post:
      operationId: notes.post
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      requestBody:
        content:
          application/json: {schema: {type: object, properties: {note: {type: string}}}}
      responses:
        '200':
          description: OK
          content:
            application/json: {schema: {type: object, properties: {note: {type: string}, age: {type: integer}}}}
"""


def needles() -> Iterator[str]:
    """Return parts of the patient's data in every encoding."""
    parts = [NAME[start : start + 4] for start in range(len(NAME) - 3)] + ["943 476", "476 5919", "9434765919"]
    for part in parts:
        raw = part.encode()
        yield from {part, raw.decode("latin-1"), quote(part), json.dumps(part)[1:-1], repr(raw)[2:-1], part[::-1]}
        yield from (unicodedata.normalize("NFD", part), part.encode().hex())
    for before in ("", "x", "xx"):  # the three alignments of base64
        yield base64.b64encode(f"{before}{NAME}".encode()).decode()[4:-4]


@pytest.fixture
async def database(mongodb_url: str) -> AsyncIterator[Database]:
    database = Database(mongodb_url, DATABASE)
    yield database
    await database.command({"dropDatabase": 1})
    await database.close()


@pytest.fixture
def routing(tmp_path: Path, mongodb_url: str) -> Path:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "openapi.yaml").write_text(CONTRACT)
    return tmp_path / "routing.yaml"


def written(legacy: int, mongodb_url: str, webhook: int) -> str:
    return json.dumps(
        {
            "legacy": {"url": f"http://127.0.0.1:{legacy}", "timeouts": {"response": "5s"}},
            "native": "tests.support.leaky_apps:native",
            "mongodb": {"url": mongodb_url, "database": DATABASE},
            "bucketing": {"key": ["jwt:name", "header:x-patient"]},
            "notify": {"url": f"http://127.0.0.1:{webhook}/"},
            "reports": {"key": "sixteen-characters-or-more"},
            "shadow": {"noise": "100%", "max_body": "64KiB", "dry_run_timeout": "5s", "max_cpu_wait": "100%"},
            "routes": [
                {"name": "raise", "match": "GET /api/raise/{id}", "native": "100%"},
                {"name": "notes", "match": "GET /api/notes/{id}", "shadow": "100%"},
                {"name": "write", "match": "POST /api/*", "shadow": {"share": "100%", "writes": "dry_run"}},
                {"name": "stream", "match": "WS /stream/{id}", "shadow": "100%"},
                {"name": "rest", "match": "GET /api/*", "shadow": "100%"},
            ],
        }
    )


def requests(client: httpx.AsyncClient) -> Iterator[httpx.Request]:
    """Return requests with the patient in paths, queries, headers, cookies, tokens, and bodies of every kind."""
    token = f"eyJhbGciOiJub25lIn0.{base64.urlsafe_b64encode(json.dumps({'name': NAME}).encode()).decode()}.c2ln"
    headers: list[tuple[bytes, bytes]] = [
        (b"x-patient", PATIENT.encode()),
        (b"cookie", b"who=" + PATIENT.encode()),
        (b"authorization", b"Bearer " + token.encode()),
        (b"user-agent", PATIENT.encode()),
        (b"x-request-id", PATIENT.encode()),
        (b"x-" + NAME.encode("ascii", "ignore").lower(), b"1"),
        (b"origin", b"http://" + NAME.encode("ascii", "ignore")),
    ]
    where = f"{quote(PATIENT)}?name={quote(PATIENT)}&{quote(NAME)}=1"
    for resource in ("notes", "html", "text", "image", "broken", "gzip", "large", "reset", "raise"):
        yield client.build_request("GET", f"/api/{resource}/{where}", headers=headers)
    yield client.build_request("GET", f"/{where}", headers=headers)
    yield client.build_request("POST", f"/api/notes/{where}", headers=headers, json={"note": PATIENT, NAME: PATIENT})
    yield client.build_request("POST", f"/api/notes/{where}", headers=headers, data={"note": PATIENT, NAME: PATIENT})
    yield client.build_request("POST", f"/api/files/{where}", headers=headers, files={"file": (NAME, PATIENT.encode())})
    broken = [*headers, (b"content-type", b"application/json")]
    yield client.build_request("POST", f"/api/notes/{where}", headers=broken, content=f'{{"note":"{PATIENT}'.encode())
    foreign = [*headers, (b"content-type", f"text/{NAME}".encode())]
    yield client.build_request("POST", f"/api/raise/{where}", headers=foreign, content=PATIENT.encode())


def malformed() -> Iterator[bytes]:
    name = NAME.encode()
    yield b"GET /" + name + b" HTTP/9.9\r\n\r\n"
    yield b"GET / HTTP/1.1\r\nHost: x\r\n" + name + b"\r\n\r\n"
    yield b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + name * 10_000 + b"\r\n\r\n"
    yield (
        b"GET /api/notes/"
        + quote(NAME).encode()
        + b" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: " + name + b"\r\nSec-WebSocket-Key: x\r\n\r\n"
    )


async def converse(port: int, closes: str) -> None:
    """Hold a conversation with the patient in its target, headers, messages and close, which a backend may begin."""
    target = f"ws://127.0.0.1:{port}/stream/{quote(PATIENT)}?name={quote(PATIENT)}"
    name = NAME.encode("ascii", "ignore").decode()
    async with connect(target, additional_headers={"x-patient": name}, compression=None, proxy=None) as client:
        for message in (PATIENT, json.dumps({NAME: PATIENT, "type": NAME}), *(["bye"] if closes == "backend" else [])):
            await client.send(message)
            await client.recv()
        if closes == "client":
            await client.close(4002, NAME)
        await client.wait_closed()


async def test_patient_data_appear_in_no_output(
    routing: Path, mongodb_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, webhook = routing.parent / "state", WebhookReceiver(204)
    monkeypatch.setenv("SCRIBE_PROXY_STATE_DIR", str(state))
    leaky_apps.RECEIVED.clear()
    outputs: dict[str, str] = {}
    order, orders = CaptureJob.new(time.time() + 60, 50), CaptureJobs(database)
    async with serving(leaky_apps.legacy) as legacy, serving(webhook) as receiver:
        routing.write_text(written(legacy, mongodb_url, receiver))
        async with served(routing) as (process, port, ops):
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", verify=False, limits=BRIEFLY_IDLE, timeout=HANG_TIMEOUT
            ) as client:
                await orders.create(order)
                await until(lambda: orders.taken_up(order))
                for request in requests(client):
                    await client.send(request)
            for raw in malformed():
                await exchange(port, raw)
            for closes in ("client", "backend"):
                await converse(port, closes)
            await compared(database)
            await until(lambda: enough(orders, order))
            outputs |= await pages(ops, database)
            outputs["status"] = await asyncio.to_thread(status_of, ops)
            await webhook.wait(1)
            process.send_signal(signal.SIGTERM)
            output, log = await process.communicate()
    outputs["access log"], outputs["log"] = output.decode(), log.decode("utf-8", "replace")
    outputs["webhook"] = repr(webhook.received)
    outputs["saved configuration"] = "".join(one.read_text() for one in state.rglob("*.json"))
    outputs["mongodb"] = await documents(mongodb_url)
    outputs["captured"] = json.dumps([one.step for one in await orders.collect(order, 1000)], ensure_ascii=False)
    outputs |= await asyncio.to_thread(printed, routing)
    assert NAME in "".join(leaky_apps.RECEIVED)
    check_that_there_was_something_to_find(outputs)
    leaks = {
        (where, needle) for where, text in outputs.items() for needle in needles() if needle.lower() in text.lower()
    }
    assert leaks == set()


def check_that_there_was_something_to_find(outputs: dict[str, str]) -> None:
    """Assert that the logs are not empty, so that the search for the patient can fail."""
    assert outputs["access log"].count('"route"') >= 15
    assert "native raised RuntimeError" in outputs["log"]
    assert "scribe_proxy_requests_total" in outputs["/metrics"]
    assert len(outputs["mongodb"]) > 20_000
    assert outputs["captured"].count('"request"') >= 5
    assert "mismatch" in outputs["report --route notes"]
    assert "native would have written" in outputs["report --sample of a write"]
    assert "breaks the contract" in outputs["report --sample of a violation"]
    assert "divergences.yaml" in outputs["report --suggest"]
    assert "new_difference" in outputs["webhook"]
    assert "stream" in outputs["status"]
    assert '"active"' in outputs["report --route notes --sample"]
    assert {name: text for name, text in outputs.items() if len(text) <= 100} == {}


async def compared(database: Database) -> None:
    """Wait until every request that can be compared has been compared and replayed."""
    reading = ReportReader(database)
    async with asyncio.timeout(HANG_TIMEOUT):
        while True:
            routes = {one.route: one for one in await reading.routes(Span(time.time() - 600, time.time() + 1))}
            done = {name: one.compared + sum(one.skipped.values()) for name, one in routes.items()}
            expected = {"notes": 1, "write": 5, "rest": 7, "stream": 2}
            if expected.items() <= done.items() and routes["notes"].replays:
                return
            await asyncio.sleep(0.05)


async def pages(ops: int, database: Database) -> dict[str, str]:
    samples = await ReportReader(database).samples(Span(0, time.time() + 1))
    paths = ["/", "/live", "/history", "/config", "/divergences", "/drift", "/metrics", "/status.json", "/index.json"]
    paths += [f"/routes/{name}" for name in ROUTES] + [f"/samples/{one.id}" for one in samples]
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{ops}", verify=False, limits=BRIEFLY_IDLE, timeout=HANG_TIMEOUT
    ) as client:
        answers = {path: await client.get(path) for path in paths}
        answers |= {f"{path}.json": await client.get(f"{path}.json") for path in paths if path.count("/") == 2}
    assert {answer.status_code for answer in answers.values()} == {200}
    return {path: answer.text for path, answer in answers.items()}


async def documents(mongodb_url: str) -> str:
    """Return every document of the gateway's database."""
    async with AsyncMongoClient[dict[str, object]](mongodb_url) as client:
        gateway_database = client[DATABASE]
        stored = [
            await gateway_database[name].find().to_list() for name in await gateway_database.list_collection_names()
        ]
    return json_util.dumps(stored, ensure_ascii=False) + repr(stored)


def status_of(ops: int) -> str:
    """Return the output of `status`."""
    return CliRunner().invoke(main, ["status", "--ops-url", f"http://127.0.0.1:{ops}"]).output


def printed(routing: Path) -> dict[str, str]:
    """Return the output of `report` in all its forms."""
    commands = {
        "report": [],
        "report --json": ["--json"],
        "report --csv": ["--csv", "--route", "notes"],
        "report --suggest": ["--suggest"],
        "report --junit": ["--junit", str(routing.with_name("report.xml"))],
        "report --sample of a write": ["--route", "write", "--kind", "type", "--sample"],
        "report --sample of a violation": ["--kind", "violation", "--sample"],
        **{f"report --route {name}": ["--route", name] for name in ROUTES},
        **{f"report --route {name} --sample": ["--route", name, "--sample"] for name in ROUTES if name != "raise"},
    }
    outputs = {
        name: CliRunner().invoke(main, ["report", "--config", str(routing), *arguments]).output
        for name, arguments in commands.items()
    }
    return {**outputs, "junit": routing.with_name("report.xml").read_text()}


async def enough(orders: CaptureJobs, order: CaptureJob) -> bool:
    return await orders.count(order) >= 10


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(HANG_TIMEOUT):
        while not await condition():
            await asyncio.sleep(0.05)
