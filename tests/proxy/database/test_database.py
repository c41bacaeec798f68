"""The gateway's MongoDB: reachable, unreachable, reachable again; its errors are translated."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from pydantic import SecretStr
from pymongo import InsertOne
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri
from pymongo.write_concern import WriteConcern

from proxy.config.service_models import MongoSettings
from proxy.database.database import (
    PING_AFTER,
    PING_TICKS,
    REACH_TIMEOUT,
    TICK,
    Conflict,
    Database,
    DatabaseError,
    InvalidDatabaseUrl,
    Unavailable,
    hosts_of,
)
from proxy.database.driver import DRIVERS, DriverName, name_from
from tests.support.event_loop import advance
from tests.support.mongodb_relay import Relay, collect_abandoned_sockets
from tests.support.waiting import HANG_TIMEOUT, until, until_async


@pytest.fixture(params=DRIVERS)
async def database(mongodb_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    database = Database(mongodb_url, "test_database", driver=request.param)
    yield database
    await database.command({"dropDatabase": 1})
    await database.close()


def timed(command: str, result: str) -> float:
    labels = {"command": command, "result": result}
    name = "scribe_proxy_mongodb_command_duration_seconds_count"
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_empty_url_gives_no_database() -> None:
    assert Database.of(MongoSettings(url=SecretStr(""))) is None


async def test_settings_name_the_database(mongodb_url: str) -> None:
    database = Database.of(MongoSettings(url=SecretStr(mongodb_url), database="named"))
    assert database
    assert database.name == "named"
    await database.reach()
    await database.close()


@pytest.mark.parametrize("url", ["mongodb://:::", "mongodb://user:secret@@host/", "http://host"])
def test_url_without_sense_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(InvalidDatabaseUrl, match="invalid MongoDB URL") as caught:
        Database(url, "x")
    assert url not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("sign", ":/@%")
def test_unencoded_password_is_named_as_the_cause(sign: str) -> None:
    with pytest.raises(InvalidDatabaseUrl, match=f"percent-encode.*`{sign}`.*in the user name and the password"):
        Database(f"mongodb://user:one{sign}two@host/", "x")


@pytest.mark.parametrize("url", ["http://host", "mongo:x"])
def test_url_of_another_kind_is_refused_with_its_beginning(url: str) -> None:
    with pytest.raises(InvalidDatabaseUrl, match="it must begin with mongodb:// or"):
        Database(url, "x")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a.b"])
def test_invalid_name_of_a_database_is_quoted(name: str) -> None:
    with pytest.raises(InvalidDatabaseUrl, match=re.escape(f"invalid MongoDB database name {name!r}")):
        Database("mongodb://host", name)


@given(
    st.lists(st.from_regex(r"[a-z][a-z0-9]{0,8}:[1-9][0-9]{0,3}", fullmatch=True), min_size=1, max_size=3),
    st.one_of(st.none(), st.text(min_size=1, max_size=12)),
    st.sampled_from(["", "/", "/scribe", "/?appName=x@y", "/scribe?appName=/x"]),
)
def test_unreachable_hosts_are_named_without_credentials(hosts: list[str], secret: str | None, rest: str) -> None:
    credentials = f"ada:{quote_plus(secret)}@" if secret else ""
    named = ",".join(hosts)
    assert hosts_of(f"mongodb://{credentials}{named}{rest}") == named


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=20))
@example("a/b")
@example("a?b")
def test_hosts_of_an_accepted_url_are_those_of_the_driver(password: str) -> None:
    url = f"mongodb://ada:{password}@db1:27017/scribe"
    try:
        nodes = parse_uri(url)["nodelist"]
    except (PyMongoError, ValueError):
        return
    assert hosts_of(url) == ",".join(f"{host}:{port}" for host, port in nodes)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(("url", "name"), [("mongodb://:::", "x"), ("mongodb://127.0.0.1:1", "a b")])
def test_invalid_urls_are_refused_by_both_drivers(driver: DriverName, url: str, name: str) -> None:
    with pytest.raises(InvalidDatabaseUrl):
        Database(url, name, driver=driver)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, "motor"), ({"MONGODB_DRIVER": ""}, "motor"), *[({"MONGODB_DRIVER": name}, name) for name in DRIVERS]],
)
def test_environment_names_the_driver(environ: dict[str, str], expected: str) -> None:
    assert name_from(environ) == expected


def test_unknown_driver_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_DRIVER", "mongoose")
    with pytest.raises(InvalidDatabaseUrl, match="MONGODB_DRIVER must be motor or pymongo, not 'mongoose'"):
        Database("mongodb://127.0.0.1:1", "x")


def test_pymongo_driver_imports_no_motor() -> None:
    # Neither the gateway nor the native app imports the other driver.
    code = (
        "import sys, proxy.runtime.process, proxy.cli.serve, proxy.shadow.worker, handlers.app\n"
        "from handlers.storage.store import Store\n"
        "from proxy.database.database import Database\n"
        "async def run():\n"
        "    await Database('mongodb://127.0.0.1:1', 'x').close()\n"
        "    await Store('mongodb://127.0.0.1:1', 'x', driver='pymongo').close()\n"
        "import asyncio; asyncio.run(run())\n"
        "sys.exit('motor' in sys.modules)"
    )
    environ = {**os.environ, "MONGODB_DRIVER": "pymongo"}
    assert subprocess.run([sys.executable, "-c", code], env=environ, timeout=HANG_TIMEOUT, check=False).returncode == 0


async def test_available_from_the_first_answer_on(database: Database) -> None:
    assert not database.available
    await database.reach()
    assert database.available


async def test_duplicate_key_is_a_conflict(database: Database) -> None:
    things = database.collection("things")
    with database.translate_errors():
        await things.insert_one({"_id": 1})
    with pytest.raises(Conflict), database.translate_errors():
        await things.insert_one({"_id": 1})
    with pytest.raises(Conflict), database.translate_errors():
        await things.bulk_write([InsertOne({"_id": 1}), InsertOne({"_id": 2})])


async def test_refused_command_is_reported_by_its_code(database: Database) -> None:
    things = database.collection("things")
    with pytest.raises(DatabaseError, match="code 59"):
        await database.command({"nonsense": 1})
    with pytest.raises(DatabaseError, match=r"code 2\b"), database.translate_errors():
        await things.find_one({"$nonsense": "Agnes"})
    await database.command({"create": "strict", "validator": {"name": "x"}})
    with pytest.raises(DatabaseError, match="code 121") as caught, database.translate_errors():
        await database.collection("strict").bulk_write([InsertOne({"name": "Agnes"})])
    assert "Agnes" not in str(caught.value)
    twice = [InsertOne({"_id": 1, "name": "x"})] * 2
    with pytest.raises(DatabaseError, match="code 121, 11000") as caught, database.translate_errors():
        await database.collection("strict").bulk_write([*twice, InsertOne({"name": "Agnes"})], ordered=False)
    assert not isinstance(caught.value, Conflict)


async def test_unconfirmed_writes_are_reported_by_their_code(database: Database) -> None:
    things = database.collection("things").with_options(write_concern=WriteConcern(w=50, wtimeout=1))
    with pytest.raises(DatabaseError, match=r"code \d+"), database.translate_errors():
        await things.bulk_write([InsertOne({"_id": 1})])


async def test_slow_operation_is_reported_as_a_timeout(database: Database) -> None:
    things = database.collection("things")
    with database.translate_errors():
        await things.insert_many([{} for _ in range(300)])
    each_with_all: list[dict[str, Any]] = [
        {"$lookup": {"from": "things", "pipeline": [], "as": "all"}},
        {"$unwind": "$all"},
    ]
    with pytest.raises(Unavailable, match="too long"):
        await database.aggregate("things", [*each_with_all * 3, {"$count": "all"}], maxTimeMS=20)


async def test_misuse_of_the_driver_is_named(database: Database) -> None:
    with pytest.raises(DatabaseError, match="InvalidName"), database.translate_errors():
        database.collection("$x")


async def test_commands_are_timed(database: Database) -> None:
    ok, failed = timed("ping", "ok"), timed("nonsense", "failed")
    await database.reach()
    with pytest.raises(DatabaseError):
        await database.command({"nonsense": 1})
    assert (timed("ping", "ok"), timed("nonsense", "failed")) == (ok + 1, failed + 1)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_unknown_host_is_unavailable(driver: DriverName) -> None:
    database = Database("mongodb+srv://nowhere.invalid/", "x", driver=driver)
    with pytest.raises(Unavailable):
        await database.reach()
    assert not database.available
    await database.close()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_outages_before_and_after_a_connection_are_reported(mongodb_url: str, driver: DriverName) -> None:
    with Relay(mongodb_url) as relay:
        database = Database(relay.url, "test_away", timeout=0.6, driver=driver)
        with pytest.raises(Unavailable):
            await database.reach()
        assert not database.available
        relay.mend()
        await until_async(database.is_reachable)
        relay.cut()
        await until(lambda: not database.available)
        await database.close()
        collect_abandoned_sockets()


class CountingDatabase(Database):
    """A database that counts its pings."""

    ping_count = 0

    async def reach(self) -> None:
        self.ping_count += 1
        await super().reach()


async def test_unreachable_server_is_probed_once_for_many_pages(mongodb_url: str) -> None:
    with Relay(mongodb_url) as relay:
        database = CountingDatabase(relay.url, "test_database", reach_timeout=0.2)
        assert [await database.is_reachable() for _ in range(20)] == [False] * 20
        assert database.ping_count < 20
        relay.mend()
        await until_async(database.is_reachable)
        await database.close()
        collect_abandoned_sockets()


async def test_known_outage_fails_a_page_without_a_request() -> None:
    database = CountingDatabase("mongodb://127.0.0.1:9", "test_database", timeout=0.2)
    with pytest.raises(Unavailable):
        await database.reach()
    assert not await database.is_reachable()
    with pytest.raises(Unavailable):
        await database.require_reachable()
    assert database.ping_count == 1
    await database.close()
    collect_abandoned_sockets()


class PingedDatabase(Database):
    """A database without a server. `pinged` is set by each ping, which is answered if `answers` is set."""

    def __init__(self, answers: bool, reach_timeout: float = REACH_TIMEOUT) -> None:
        super().__init__("mongodb://127.0.0.1:9", "test_database", reach_timeout=reach_timeout)
        self.answers, self.pinged = answers, asyncio.Event()

    async def reach(self) -> None:
        self.pinged.set()
        if not self.answers:
            await asyncio.Event().wait()


async def test_long_request_of_a_page_waits_while_pings_are_answered() -> None:
    database = PingedDatabase(answers=True)

    async def request() -> str:
        await database.pinged.wait()
        await asyncio.sleep(2 * PING_TICKS * TICK)
        return "result"

    assert await database.answer(request()) == "result"
    await database.close()


async def test_server_that_never_answered_is_waited_for_once() -> None:
    database = PingedDatabase(answers=False, reach_timeout=HANG_TIMEOUT)
    page = asyncio.create_task(database.is_reachable())
    await database.pinged.wait()
    await advance(HANG_TIMEOUT)
    assert not await page
    database.pinged.clear()
    assert not await database.is_reachable()
    assert not database.pinged.is_set()
    await database.close()


async def test_hanging_server_does_not_delay_a_page() -> None:
    database, ended = PingedDatabase(answers=False), asyncio.Event()

    async def request() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(Unavailable):
        await database.answer(request())
    assert ended.is_set()
    assert not await database.is_reachable()
    database.pinged.clear()
    with pytest.raises(Unavailable):
        await database.require_reachable()
    assert not database.pinged.is_set()
    await database.close()


async def test_cancellation_and_errors_of_a_page_pass_through() -> None:
    database = PingedDatabase(answers=True)

    async def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await database.answer(fail())
    page = asyncio.create_task(database.answer(asyncio.Event().wait()))
    await asyncio.sleep(0)
    page.cancel()
    with pytest.raises(asyncio.CancelledError):
        await page
    await advance(2 * PING_AFTER)
    assert not database.pinged.is_set()
    await database.close()
