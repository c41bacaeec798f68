"""A capture job runs in every shadow process and expires by itself; the command collects its exchanges."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proxy.capture.agent import CaptureAgent
from proxy.capture.jobs import CapturedExchange, CaptureJob, CaptureJobs
from proxy.cli.main import main
from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare
from proxy.config.models import Config
from proxy.contract.model import Operation
from proxy.database.database import Database
from proxy.database.driver import DRIVERS
from proxy.recordings import model
from proxy.reports.events import ComparisonEvent, SkippedEvent
from tests.support.exchanges import answered, exchange, operation, properties
from tests.support.mongodb_relay import Relay
from tests.support.waiting import HANG_TIMEOUT, until, until_async

CONFIG = Config.model_validate(
    {"legacy": {"url": "http://a"}, "routes": [{"name": "other", "match": "GET /api/other/{id}"}]}
)
CONTRACT = operation(properties(title={"type": "string"}, status={"enum": ["active", "ended"], "x-report": "show"}))
PATIENT = "Agnes Nightingale"
INTERVAL = 0.02


@pytest.fixture(params=DRIVERS)
async def database(mongodb_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    database = Database(mongodb_url, "test_capture", driver=request.param)
    yield database
    for name in ("capture_jobs", "captured"):
        await database.collection(name).delete_many({})
    await database.close()


@pytest.fixture
async def capturer(database: Database) -> AsyncIterator[CaptureAgent]:
    capturer = CaptureAgent(database, CONFIG, INTERVAL)
    await capturer.start()
    yield capturer
    await capturer.stop()


def compared(
    legacy: Exchange | None = None, route: str = "notes.list", contract: Operation | None = CONTRACT
) -> ComparisonEvent:
    legacy = legacy or answered({"title": PATIENT, "status": "active", PATIENT: 1})
    return ComparisonEvent(route, contract, "legacy", compare(legacy, legacy, contract), legacy, legacy)


def order(seconds: float = 60, each: int = 5, *routes: str) -> CaptureJob:
    return CaptureJob.new(time.time() + seconds, each, routes)


async def placed(orders: CaptureJobs, one: CaptureJob) -> None:
    """Store a job, and wait until it is started."""
    await orders.create(one)
    async with asyncio.timeout(HANG_TIMEOUT):
        while not await orders.taken_up(one):
            await asyncio.sleep(0.01)


async def collected(orders: CaptureJobs, one: CaptureJob, least: int, most: int = 100) -> list[CapturedExchange]:
    async with asyncio.timeout(HANG_TIMEOUT):
        while await orders.count(one) < least:
            await asyncio.sleep(0.01)
    return await orders.collect(one, most)


async def test_exchange_is_captured_without_personal_data(database: Database, capturer: CaptureAgent) -> None:
    orders, wanted = CaptureJobs(database), order()
    await placed(orders, wanted)
    capturer.record(compared())
    capturer.record(SkippedEvent("notes.list", "legacy", "timeout"))
    [one] = await collected(orders, wanted, 1)
    assert (one.operation, one.status) == ("GET /api/notes", "200")
    [step] = model.scenario({"scenario": "", "steps": [{"name": "", **one.step}]}).steps
    assert json.loads(step.answer.text) == {"title": "text 1", "status": "active"}
    assert "Agnes" not in repr([each async for each in database.collection("captured").find({})])


async def test_captures_are_limited_by_operation_and_status(database: Database, capturer: CaptureAgent) -> None:
    orders, wanted = CaptureJobs(database), order(60, 2)
    await placed(orders, wanted)
    for _ in range(5):
        capturer.record(compared())
        capturer.record(compared(answered({}, status=404)))
        capturer.record(compared(exchange(outcome="hang")))
    captured = await collected(orders, wanted, 6)
    assert sorted(one.status for one in captured) == ["200", "200", "404", "404", "hang", "hang"]
    assert len(await orders.collect(wanted, 3)) == 3
    await orders.store(wanted, captured)
    assert len(await orders.collect(wanted, 100)) == 6


async def test_other_routes_are_not_captured(database: Database, capturer: CaptureAgent) -> None:
    orders, wanted = CaptureJobs(database), order(60, 5, "other")
    await placed(orders, wanted)
    capturer.record(compared())
    capturer.record(compared(answered({}, target=f"/api/other/{PATIENT}"), "other", None))
    [one] = await collected(orders, wanted, 1)
    assert one.operation == "other"
    assert one.step["request"] == {"method": "GET", "path": "/api/other/text-1", "headers": {}}


async def test_unsuitable_exchange_is_dropped(database: Database) -> None:
    orders, wanted = CaptureJobs(database), order()
    capturer = CaptureAgent(database, CONFIG, INTERVAL, max_pending=1)
    await capturer.start()
    await placed(orders, wanted)
    capturer.record(compared(exchange(outcome="gone")))
    broken = replace(compared(), legacy=None)  # type: ignore[arg-type]
    capturer.record(broken)
    capturer.record(compared())
    capturer.record(compared())
    assert len(await collected(orders, wanted, 1)) == 1
    await capturer.stop()


async def test_job_ends_with_its_time_or_its_withdrawal(database: Database, capturer: CaptureAgent) -> None:
    orders, short, long = CaptureJobs(database), order(3.0), order()
    await placed(orders, short)
    await placed(orders, long)
    await until(lambda: time.time() > short.until)
    capturer.record(compared())
    await collected(orders, long, 1)
    assert await orders.count(short) == 0
    assert [one.id for one in await orders.current()] == [long.id]
    await orders.withdraw(long)
    assert (await orders.current(), await orders.count(long), await orders.taken_up(long)) == ([], 0, 0)


async def test_captures_expire_by_a_ttl_index(database: Database) -> None:
    orders, wanted = CaptureJobs(database), order()
    await orders.create(wanted)
    await orders.store(wanted, [CapturedExchange("GET /", "200", {})])
    for name in ("capture_jobs", "captured"):
        indexes = await database.collection(name).index_information()
        assert indexes["expires_1"]["expireAfterSeconds"] == 0
        [document] = [one async for one in database.collection(name).find({})]
        assert document["expires"].timestamp() > time.time() - 86_400
    assert await orders.current() == [wanted]


async def test_captures_have_keys_and_dates_of_their_own() -> None:
    one, other = order(), order()
    assert one.key != other.key
    assert one.id != other.id
    assert -4001 * 86_400_000 < one.shift < -399 * 86_400_000


async def test_capture_during_an_outage_of_mongodb_fails_nothing(database: Database, mongodb_url: str) -> None:
    with Relay(mongodb_url) as relay:
        distant = Database(relay.url, "test_capture", timeout=0.6)
        capturer, orders, wanted = CaptureAgent(distant, CONFIG, INTERVAL), CaptureJobs(database), order()
        await capturer.start()
        capturer.record(compared())
        relay.mend()
        await until_async(distant.is_reachable)
        await placed(orders, wanted)
        capturer.record(compared())
        assert len(await collected(orders, wanted, 1)) == 1
        await capturer.stop()
        await orders.withdraw(wanted)
        await distant.close()


async def test_capture_without_a_database_is_inactive(caplog: pytest.LogCaptureFixture) -> None:
    capturer = CaptureAgent(None, CONFIG)
    await capturer.start()
    capturer.record(compared())
    await capturer.stop()
    assert caplog.text == ""


async def capture(url: str, into: Path, *arguments: object) -> Result:
    around = ("--mongodb-url", url, "--database", "test_capture", "--config", into / "none", "--into", into)
    return await asyncio.to_thread(CliRunner().invoke, main, [str(one) for one in ("capture", *around, *arguments)])


async def test_capture_command_writes_playable_recordings(
    database: Database, capturer: CaptureAgent, mongodb_url: str, tmp_path: Path
) -> None:
    orders = CaptureJobs(database)
    running = asyncio.create_task(
        capture(mongodb_url, tmp_path, "--max-total", 3, "--per-operation", 2, "--for", "90s")
    )
    async with asyncio.timeout(HANG_TIMEOUT):
        while not (placed := await orders.current()) or not await orders.taken_up(placed[0]):
            await asyncio.sleep(0.01)
    for _ in range(3):
        capturer.record(compared())
    capturer.record(compared(answered({}, status=404)))
    capturer.record(compared(answered({}), "other", None))
    result = await running
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path}/http.json: 3 requests of 1 operation\n"
    recorded = model.load(tmp_path)
    assert [(one.name, len(one.steps)) for one in recorded.scenarios] == [("captured: GET /api/notes", 3)]
    assert await orders.current() == []
    assert await database.collection("captured").count_documents({}) == 0


async def test_empty_capture_is_1_and_names_the_reason(database: Database, mongodb_url: str, tmp_path: Path) -> None:
    routing = tmp_path / "routing.yaml"
    routing.write_text("legacy: {url: http://a}\nroutes: [{name: notes.list, match: GET /}]\n")
    result = await capture(mongodb_url, tmp_path, "--for", "100ms", "--config", routing)
    assert result.exit_code == 1
    assert "nothing was captured" in result.stderr
    assert "`shadow` share" in result.stderr
    assert not (tmp_path / "http.json").exists()
    result = await capture(mongodb_url, tmp_path, "--route", "notes.lst", "--config", routing)
    assert result.exit_code == 2
    assert "did you mean notes.list?" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--for", "25h"], "at most 24h"), (["--for", "5"], "as in 250ms"), (["--per-operation", "0"], "1<=x<=1000")],
)
async def test_wrong_usage_is_reported(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = await capture("mongodb://127.0.0.1:1", tmp_path, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


async def test_existing_recordings_are_replaced_by_force_only(tmp_path: Path) -> None:
    (tmp_path / "http.json").write_text("[]")
    result = await capture("mongodb://127.0.0.1:1", tmp_path)
    assert "--force replaces it" in result.stderr
