"""The reaper on a real MongoDB: transactions of a process that died or stopped are soon aborted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bson import Binary
from pymongo.client_session import ClientSession
from pymongo.database import Database

from demo.ports import free_port
from handlers.storage.transaction_reaper import GRACE, KILLS, RETRY_DELAY, TRIES, Reaper, ReaperSchedule, kill, serve
from tests.support.backends import scratch_database
from tests.support.waiting import HANG_TIMEOUT, PROMPT_TIMEOUT

ROOT = Path(__file__).parents[3]
Documents = Database[dict[str, Any]]

ACTOR = """
import asyncio, sys, time
from handlers.storage.store import Store
from bson import ObjectId

async def act(url, database, note, seconds):
    store = Store(url, database)
    async with store.dry_run(float(seconds)):
        await store.notes.update_one({"_id": int(note)}, {"$set": {"n": 1}})
        print("holding", flush=True)
        await asyncio.sleep(600)

asyncio.run(act(*sys.argv[1:]))
"""


@pytest.fixture
def database(mongodb_url: str) -> Iterator[Documents]:
    with scratch_database(mongodb_url) as mongo_database:
        mongo_database["notes"].insert_many([{"_id": 1, "n": 0}, {"_id": 2, "n": 0}])
        yield mongo_database


def dry_run_process(url: str, database: Documents, note: int, seconds: float) -> subprocess.Popen[str]:
    """Start a process that holds a note in a transaction for the given time."""
    command = [sys.executable, "-c", ACTOR, url, database.name, str(note), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def seconds_to_write(database: Documents, note: int = 1) -> float:
    began = time.monotonic()
    database["notes"].update_one({"_id": note}, {"$inc": {"others": 1}})
    return time.monotonic() - began


def held(database: Documents) -> ClientSession:
    """Return a session whose transaction holds the document."""
    session = database.client.start_session()
    session.start_transaction()
    database["notes"].update_one({"_id": 1}, {"$set": {"n": 1}}, session=session)
    return session


def test_killed_or_stopped_process_blocks_no_other_write(mongodb_url: str, database: Documents) -> None:
    killed, stopped = dry_run_process(mongodb_url, database, 1, 60), dry_run_process(mongodb_url, database, 2, 1)
    try:
        for process in (killed, stopped):
            assert process.stdout is not None
            assert process.stdout.readline() == "holding\n"
        stopped.send_signal(signal.SIGSTOP)
        killed.kill()
        assert seconds_to_write(database, 1) < PROMPT_TIMEOUT
        assert seconds_to_write(database, 2) < PROMPT_TIMEOUT
        assert list(database["notes"].find()) == [{"_id": 1, "n": 0, "others": 1}, {"_id": 2, "n": 0, "others": 1}]
    finally:
        for process in (killed, stopped):
            process.kill()
            process.communicate()


def test_dead_reaper_is_replaced_with_the_same_transactions(mongodb_url: str, database: Documents) -> None:
    reaper = Reaper(mongodb_url)
    with held(database) as session, database.client.start_session() as other:
        reaper.watch(session.session_id, time.monotonic() + 60)
        first = reaper.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)  # its parent still has to collect it
        reaper.watch(other.session_id, time.monotonic() + 60)
        reaper.discard(other.session_id)
        assert reaper.pid not in (None, first)
        reaper.close()
        assert seconds_to_write(database) < PROMPT_TIMEOUT


def test_idle_reaper_exits_at_once(mongodb_url: str) -> None:
    reaper = Reaper(mongodb_url)
    reaper.close()
    session = {"id": Binary(bytes(16), 4)}
    reaper.watch(session, time.monotonic() + 60)
    reaper.discard(session)
    pid, began = reaper.pid, time.monotonic()
    assert pid is not None
    reaper.close()
    assert not Path(f"/proc/{pid}").exists()
    assert time.monotonic() - began < PROMPT_TIMEOUT


def test_reaper_reads_until_eof_and_aborts_open_transactions(mongodb_url: str, database: Documents) -> None:
    schedule = ReaperSchedule(partial(kill, mongodb_url), retry_delay=0.05)
    reading, writing = os.pipe()
    with held(database) as session, database.client.start_session() as other:
        names = [bytes(each.session_id["id"]).hex() for each in (session, other)]
        listening = threading.Thread(target=serve, args=(reading, schedule))
        listening.start()
        os.write(writing, f"open {names[0]} {time.monotonic() + 60}\nopen {names[1]} ".encode())
        os.write(writing, f"{time.monotonic() + 60}\ndone {names[1]}\n".encode())
        os.close(writing)
        assert seconds_to_write(database) < PROMPT_TIMEOUT
        listening.join(HANG_TIMEOUT)
        os.close(reading)
        assert not listening.is_alive()


def test_reaper_process_logs_json_lines(mongodb_url: str) -> None:
    command = [sys.executable, "-c", "from handlers.storage.transaction_reaper import main; main()"]
    process = subprocess.run(
        command,
        input=f"open {'00' * 16} 0\n".encode(),
        env={**os.environ, "MONGODB_URL": mongodb_url},
        cwd=ROOT,
        stderr=subprocess.PIPE,
        timeout=HANG_TIMEOUT,
        check=True,
    )
    (line,) = map(json.loads, process.stderr.splitlines())
    assert (line["process"], line["message"]) == ("reaper", "ended transactions that dry runs may have left open")


def test_missing_mongodb_aborts_nothing() -> None:
    error = kill(f"mongodb://127.0.0.1:{free_port()}", ["00" * 16], timeout=0.1)
    assert error == "ServerSelectionTimeoutError"


class Kills:
    """Records the sessions that are to be killed."""

    def __init__(self, succeeds: bool = True) -> None:
        self.killed: list[list[str]] = []
        self.succeeds = succeeds

    def __call__(self, names: Sequence[str]) -> str:
        self.killed.append(list(names))
        return "" if self.succeeds else "AutoReconnect"


def test_overdue_transaction_is_aborted_a_few_times() -> None:
    kills = Kills()
    watch = ReaperSchedule(kills)
    assert watch.seconds_left(0) is None
    watch.read_line("open a 10.0")
    watch.read_line("open b 11.0")
    watch.read_line("open c 10.0")
    watch.read_line("done c")
    assert watch.seconds_left(10) == GRACE
    watch.end_overdue(10 + GRACE / 2)
    assert kills.killed == []
    now = 10 + GRACE
    for _ in range(KILLS):
        assert watch.seconds_left(now) == 0
        watch.end_overdue(now)
        now += RETRY_DELAY
    assert kills.killed == [["a"], ["a"], ["a", "b"]]
    watch.read_line("done b")
    assert watch.seconds_left(now) is None


def test_finished_transaction_is_not_aborted_again() -> None:
    kills = Kills()
    watch = ReaperSchedule(kills)
    watch.read_line("open a 10.0")
    watch.end_overdue(11)
    watch.read_line("done a")
    watch.end_overdue(12)
    watch.read_line("open a 20.0")
    assert watch.seconds_left(12) == 8 + GRACE
    assert kills.killed == [["a"]]


def test_abort_that_fails_is_retried_until_mongodb_has_aborted(caplog: pytest.LogCaptureFixture) -> None:
    kills = Kills(succeeds=False)
    watch = ReaperSchedule(kills)
    watch.read_line("open a 1000.0")
    watch.expire_all(10)
    now = 10.0
    while (left := watch.seconds_left(now)) is not None:
        now += left
        watch.end_overdue(now)
    assert kills.killed == [["a"]] * TRIES
    assert now == 10 + (TRIES - 1) * RETRY_DELAY
    message = "transactions that dry runs may have left open cannot be ended: AutoReconnect"
    assert [record.message for record in caplog.records] == [message]  # once for the outage
    watch.read_line("open b 1.0")
    kills.succeeds = True
    watch.end_overdue(now := now + 2)
    kills.succeeds = False
    watch.end_overdue(now + 2)
    assert [record.message for record in caplog.records].count(message) == 2
