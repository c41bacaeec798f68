"""`fuzz` between two small services other than Scribe, and its refusals."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from proxy.cli.fuzz import fuzz
from proxy.recordings import model
from proxy.recordings.player import Player, PlayerSettings
from tests.support.absent_packages import hide_package
from tests.support.shelf import create_shelf, write_contract
from tests.support.sockets import threaded

pytestmark = [pytest.mark.filterwarnings("ignore")]  # Hypothesis' own, on odd strategies
NOWHERE = "http://127.0.0.1:9"
TWICE = """
from hypothesis import strategies as st
DOCUMENTS = st.just({"a": [{"_id": 1}, {"_id": 1}]})
"""
DATABASES = ("--legacy-database", "a", "--native-database", "b")


@contextmanager
def shelves(fault: str) -> Iterator[tuple[str, str]]:
    with threaded(create_shelf(), lifespan="off") as legacy, threaded(create_shelf(fault), lifespan="off") as native:
        yield legacy, native


def run(*arguments: object) -> Result:
    return CliRunner().invoke(fuzz, [str(one) for one in arguments])


def search(fault: str, tmp_path: Path, *arguments: object, sequences: int = 2000) -> Result:
    contracts = write_contract(tmp_path / "contracts")
    limits = (
        "--seed",
        1,
        "--minutes",
        5,
        "--max-sequences",
        sequences,
        "--max-findings",
        1,
        "--into",
        tmp_path / "found",
    )
    with shelves(fault) as (legacy, native):
        return run("--legacy", legacy, "--native", native, "--contracts", contracts, *limits, *arguments)


def test_equal_services_are_0_with_their_coverage(tmp_path: Path) -> None:
    result = search("", tmp_path, "--junit", tmp_path / "junit.xml", sequences=8)
    assert result.exit_code == 0, result.output
    assert " 0 undeclared" in result.output
    assert "GET /books/{number}" in result.output
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (suite.get("failures"), len(suite)) == ("0", 3)
    assert not (tmp_path / "found").exists()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("gone", "GET /books/{number}: status (status 404 / 410)"),
        pytest.param("header", "GET /books/{number}: header.x-shelf (extra)", marks=pytest.mark.slow),
        pytest.param("long", "GET /books/{number}: body.pages (value)", marks=pytest.mark.slow),
    ],
)
def test_difference_is_1_shrunk_and_a_recording(tmp_path: Path, fault: str, kind: str) -> None:
    result = search(fault, tmp_path, "--junit", tmp_path / "junit.xml")
    assert result.exit_code == 1, result.output
    assert kind in result.output
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    (failure,) = suite.findall("testcase[@name='GET /books/{number}']/failure")
    assert failure.get("message") == kind
    (scenario,) = model.load(tmp_path / "found" / "001").scenarios
    if fault != "long":  # whose shrinking takes longest, and can run out of its time on a busy machine
        assert len(scenario.steps) <= 4
    with threaded(create_shelf(fault), lifespan="off") as native:
        report = asyncio.run(Player(native, PlayerSettings()).play(model.Recordings((scenario,))))
    assert report.differing


def test_declared_difference_is_0(tmp_path: Path) -> None:
    declared = tmp_path / "declared.yaml"
    entry = {"id": "gone", "operation": "GET /books/{number}", "legacy": "404", "native": "410", "reason": "r"}
    when = {"legacy": {"status": 404}, "native": {"status": 410}}
    declared.write_text(json.dumps([{**entry, "since": "1", "when": when}]))
    result = search("gone", tmp_path, "--divergences", declared, sequences=12)
    assert result.exit_code == 0, result.output
    assert "declared of 1 kind," in result.output


def test_unreachable_service_is_2(tmp_path: Path) -> None:
    contracts = write_contract(tmp_path / "contracts")
    result = run("--legacy", NOWHERE, "--native", NOWHERE, "--contracts", contracts, "--minutes", 0.01)
    assert (result.exit_code, "127.0.0.1:9" in result.output) == (2, True)


def test_unreachable_database_is_2(tmp_path: Path) -> None:
    result = search("", tmp_path, "--mongodb-url", "mongodb://127.0.0.1:9/", *DATABASES)
    assert (result.exit_code, "Error: MongoDB: 127.0.0.1:9" in result.output) == (2, True), result.output


def test_documents_that_are_always_refused_are_2(mongodb_url: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(TWICE)
    databases = [f"fuzz_{side}_{uuid.uuid4().hex[:8]}" for side in ("legacy", "native")]
    named = ("--mongodb-url", mongodb_url, "--legacy-database", databases[0], "--native-database", databases[1])
    result = search("", tmp_path, *named, "--plugin", tmp_path / "own.py", sequences=5)
    assert (result.exit_code, "duplicate key" in result.output) == (2, True), result.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--legacy", "http://api.example.org"), "api.example.org: random requests"),
        (("--native", "https://10.0.0.1:8000"), "10.0.0.1: random requests"),
        (
            ("--mongodb-url", "mongodb://db.example/?replicaSet=a", "--legacy-database", "a", "--native-database", "b"),
            "db",
        ),
        (("--mongodb-url", "mongodb+srv://c.example", "--legacy-database", "a", "--native-database", "b"), "c.example"),
        (("--legacy-calls-url", "http://calls.example/"), "calls.example"),
        (("--mongodb-url", "mongodb://127.0.0.1"), "belong together"),
        (("--mongodb-url", "mongodb://127.0.0.1", "--legacy-database", "a", "--native-database", "a"), "of its own"),
    ],
)
def test_foreign_hosts_and_shared_databases_are_refused(
    tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    base = ("--legacy", NOWHERE, "--native", NOWHERE, "--contracts", write_contract(tmp_path))
    result = run(*base, *arguments)
    assert (result.exit_code, reason in result.output) == (2, True), result.output


@pytest.mark.parametrize("permission", [("--host", "localhost.example"), ("--i-own-this-host",)])
def test_named_or_own_host_is_accepted(tmp_path: Path, permission: tuple[str, ...]) -> None:
    contracts = write_contract(tmp_path)
    (contracts / "openapi.yaml").write_text("openapi: 5")
    result = run("--legacy", "http://localhost.example", "--native", NOWHERE, "--contracts", contracts, *permission)
    assert result.exit_code == 2
    assert "random requests" not in result.output


def test_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_package(monkeypatch, "schemathesis")
    result = run("--legacy", NOWHERE, "--native", NOWHERE, "--contracts", write_contract(tmp_path))
    assert (result.exit_code, "fuzz needs schemathesis: pip install 'scribe-proxy[fuzz]'" in result.output) == (1, True)


@pytest.mark.parametrize(
    ("content", "reason"),
    [("x = 1", "none of HEADERS"), ("HEADERS = 5", "HEADERS is not a Hypothesis strategy"), ("1 / 0", "ZeroDivision")],
)
def test_faulty_plugin_is_2(tmp_path: Path, content: str, reason: str) -> None:
    contracts = write_contract(tmp_path)
    (tmp_path / "own.py").write_text(content)
    base = ("--legacy", NOWHERE, "--native", NOWHERE, "--contracts", contracts)
    result = run(*base, "--plugin", tmp_path / "own.py")
    assert (result.exit_code, reason in result.output) == (2, True), result.output
