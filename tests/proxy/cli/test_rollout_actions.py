"""A person's actions on the command line, on a real MongoDB."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pymongo import MongoClient

from proxy.cli.main import main
from proxy.config.loading import parse
from proxy.config.models import Route
from proxy.rollout.transitions import guard_failed, initial_state, start_rollout
from proxy.runtime.last_good import LastGood

DATABASE = "steps_command_tests"
FILE = """\
legacy: {{url: http://x}}
native: a:b
mongodb: {{url: "{url}", database: steps_command_tests}}
routes:
  - {{name: notes.list, match: GET /notes, guard: {{}}, rollout: {{stages: [1%, 10%, 50%]}}}}
  - {{name: notes.create, match: POST /notes, native: 25%, guard: {{}}}}
"""


@pytest.fixture
def file(tmp_path: Path, mongodb_url: str) -> Iterator[Path]:
    file = tmp_path / "routing.yaml"
    file.write_text(FILE.format(url=mongodb_url))
    yield file
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        client.drop_database(DATABASE)


def run(file: Path, *arguments: str, reason: str | None = "because", actor: str | None = "amara") -> Result:
    options = [*(("--why", reason) if reason is not None else ()), *(("--who", actor) if actor is not None else ())]
    return CliRunner().invoke(
        main, [*arguments, "--config", str(file), *options], env={"USER": "", "LOGNAME": "", "MONGODB_URL": ""}
    )


def history(url: str) -> list[tuple[str, str, str, str]]:
    with MongoClient[dict[str, Any]](url) as client:
        entries = client[DATABASE]["history"].find().sort("by.at")
        return [(entry["route"], entry["kind"], entry["by"]["actor"], entry["by"]["reason"]) for entry in entries]


def test_route_is_rolled_back_and_acknowledged(file: Path, mongodb_url: str) -> None:
    assert run(file, "rollback", "notes.create", "--to", "10%").stdout == "notes.create: rolled back, from 25% to 10%\n"
    assert run(file, "rollback", "notes.create", reason="worse").stdout == "notes.create: rolled back, from 10% to 0%\n"
    assert (
        run(file, "ack", "notes.create", reason="mended", actor="ben").stdout
        == "notes.create: cap removed, from 0% to 25%\n"
    )
    assert history(mongodb_url) == [
        ("notes.create", "rollback", "amara", "because"),
        ("notes.create", "rollback", "amara", "worse"),
        ("notes.create", "release", "ben", "mended"),
    ]


def test_rollout_is_promoted_paused_and_resumed(file: Path, mongodb_url: str) -> None:
    assert "has not started yet" in run(file, "promote", "notes.list").stderr
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        begin(client)
    assert run(file, "promote", "notes.list").stdout == "notes.list: promoted, from 1% to 10%\n"
    assert run(file, "pause", "notes.list").stdout == (
        "notes.list: paused, at 10%; native keeps that share until `resume`, unless the guard caps it\n"
    )
    assert "is paused already, by amara: because" in run(file, "pause", "notes.list").stderr
    assert run(file, "resume", "notes.list").stdout == "notes.list: resumed, at 10%\n"
    refused = run(file, "promote", "notes.list", "--to", "10%")
    assert (refused.exit_code, refused.stderr) == (1, "Error: the next stage of notes.list is 50%, not 10%\n")
    assert run(file, "promote", "notes.list", "--to", "50%").stdout == "notes.list: promoted, from 10% to 50%\n"


def begin(client: MongoClient[dict[str, Any]]) -> None:
    """Start a rollout as a gateway does at its first evaluation."""
    route = Route.model_validate(
        {"name": "notes.list", "match": "GET /notes", "guard": {}, "rollout": {"stages": ["1%", "10%", "50%"]}}
    )
    client[DATABASE]["states"].insert_one(start_rollout(route, initial_state(route), 10.0).document())


def test_cooling_cap_reports_the_remaining_time(file: Path, mongodb_url: str) -> None:
    route = parse(file.read_text(), {}).routes[1]
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        hello = client.admin.command("hello")
        now = hello["localTime"].replace(tzinfo=UTC).timestamp()
        capped = guard_failed(route, initial_state(route), "errors", now)
        assert capped is not None
        client[DATABASE]["states"].insert_one(capped.document())
    output = run(file, "ack", "notes.create").stdout
    assert output.startswith("notes.create: acknowledged; stays at 0% until it has cooled down, for ")
    assert run(file, "ack", "notes.create", "--now").stdout == "notes.create: cap removed, from 0% to 25%\n"


@pytest.mark.parametrize("step", ["promote", "pause", "resume", "rollback", "ack"])
def test_action_requires_a_reason_and_an_actor(file: Path, step: str, mongodb_url: str) -> None:
    assert "Missing option '--why'" in run(file, step, "notes.list", reason=None).stderr
    assert "a reason is required" in run(file, step, "notes.list", reason=" ").stderr
    assert "give your name" in run(file, step, "notes.list", actor=" ").stderr
    assert history(mongodb_url) == []


def test_impossible_action_is_reported_in_one_line(file: Path) -> None:
    for arguments, text in (
        (("rollback", "notes.lst"), "has no route or group notes.lst; did you mean notes.list?"),
        (("promote", "notes.create"), "notes.create has no rollout; its share is `native` in the file"),
        (("ack", "notes.create"), "notes.create is not capped"),
        (("rollback", "notes.create", "--to", "30%"), "notes.create is at 25% already: the file's share"),
        (("rollback", "notes.create", "--to", "30"), "must be a percentage"),
    ):
        result = run(file, *arguments)
        assert result.exit_code == (2 if "notes.lst" in arguments or "30" in arguments else 1)
        assert text in result.stderr


def test_missing_mongodb_refers_to_the_ops_page(file: Path) -> None:
    file.write_text("\n".join(line for line in file.read_text().splitlines() if "mongodb:" not in line))
    result = run(file, "rollback", "notes.create")
    assert result.exit_code == 1
    assert "its ops page changes them" in result.stderr


@pytest.mark.parametrize("action", ["rollback notes.create", "rollback --all", "promote notes.create"])
def test_unreachable_mongodb_is_reported_with_the_way_around_it(file: Path, action: str) -> None:
    file.write_text(FILE.format(url="mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50"))
    result = run(file, *action.split())
    where = f"its URL is mongodb.url of {file}, by default MONGODB_URL"
    instead = f". Until then `pin: legacy` in {file} keeps a route at legacy" if "rollback" in action else ""
    message = f"Error: MongoDB at 127.0.0.1:1 cannot be reached; {where}{instead}\n"
    assert (result.exit_code, result.stderr) == (2, message)


def test_refused_file_is_replaced_by_the_last_good_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIBE_PROXY_STATE_DIR", str(file.parent / "state"))
    good = file.read_bytes()
    file.write_bytes(good + b"routez: []\n")
    assert run(file, "rollback", "notes.create").exit_code == 1  # none is saved
    LastGood(file.parent / "state", file).save(good, file.parent / "contracts")
    result = run(file, "rollback", "notes.create")
    assert (result.exit_code, result.stdout) == (0, "notes.create: rolled back, from 25% to 0%\n")
    assert "the last good one here, is used" in result.stderr


def test_action_needs_no_variables_of_other_sections(file: Path) -> None:
    text = file.read_text().replace("url: http://x", 'url: "${UNSET_URL}", max_connections: "${UNSET}"')
    text = text.replace("native: a:b", "native: ${UNSET_APP}\ntokens: {secret: '${UNSET_SECRET}'}")
    text += "limits: {memory: '${UNSET_SIZE}'}\noverrides: {secret: '${UNSET_SECRET}'}\nx-any: '${UNSET}'\n"
    file.write_text(text.replace("native: 25%", "native: {share: 25%, exclude: {jwt:id: a}}"))
    assert run(file, "rollback", "notes.create").stdout == "notes.create: rolled back, from 25% to 0%\n"


def test_last_good_file_needs_no_variables_of_other_sections(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIBE_PROXY_STATE_DIR", str(file.parent / "state"))
    good = file.read_text().replace("http://x", "'${UNSET_URL}'")
    LastGood(file.parent / "state", file).save(good.encode(), file.parent / "contracts")
    file.write_text(good + "routez: []\n")
    assert run(file, "rollback", "notes.create").stdout == "notes.create: rolled back, from 25% to 0%\n"


@pytest.mark.parametrize("change", [("native: 25%", "native: '${UNSET}'"), ("http://x", "'${}'")])
def test_action_needs_the_variables_of_shares(file: Path, change: tuple[str, str]) -> None:
    file.write_text(file.read_text().replace(*change))
    result = run(file, "rollback", "notes.create")
    assert result.exit_code == 1
    assert "UNSET is not set" in result.stderr or "is not a reference" in result.stderr


def test_actor_defaults_to_user_and_host(file: Path, mongodb_url: str) -> None:
    assert run(file, "rollback", "notes.create", actor=None).exit_code == 0
    ((_, _, actor, _),) = history(mongodb_url)
    user, _, host = actor.partition("@")
    assert user
    assert host == socket.gethostname()


def test_rollback_all_includes_every_route(file: Path, mongodb_url: str) -> None:
    result = run(file, "rollback", "--all")
    assert result.stdout.splitlines() == [
        "notes.list: rolled back, at 0%",  # else its rollout would start
        "notes.create: rolled back, from 25% to 0%",
    ]
    assert [entry[:2] for entry in history(mongodb_url)] == [("notes.list", "rollback"), ("notes.create", "rollback")]


@pytest.mark.parametrize("arguments", [(), ("notes.list", "--all")])
def test_rollback_requires_exactly_one_target(file: Path, arguments: tuple[str, ...]) -> None:
    result = run(file, "rollback", *arguments)
    assert (result.exit_code, "give either" in result.stderr) == (2, True)
