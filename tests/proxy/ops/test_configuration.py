"""The page of routing.yaml: the text in force, its changes, and a refused version, without secrets."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from proxy.runtime.config_watcher import ConfigWatcher
from tests.support.ops_server import Stage
from tests.support.watched_config import settle

SECRET = "hunter2-hunter2-hunter2"


async def write(watcher: ConfigWatcher, *changes: tuple[str, str]) -> None:
    text = watcher.path.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    watcher.path.write_text(text)
    await settle(watcher)


def config(client: TestClient) -> Any:
    return client.get("/config.json").json()


async def test_configuration_is_shown_masked(client: TestClient, staged: Stage) -> None:
    await settle(staged.watcher)
    data, page = config(client), client.get("/config").text
    assert data["file"] == "routing.yaml"
    assert data["revision"] == staged.watcher.config.revision
    assert data["at"] > 0
    assert {"number": 3, "text": "overrides: {secret: •••}", "wrong": []} in data["text"]
    assert "match: GET /api/consultations" in page
    assert "in force" in page
    assert SECRET not in page + str(data)
    assert (data["last"], data["pending"], data["problems"]) == (None, None, [])


async def test_last_change_is_shown_as_a_diff(client: TestClient, staged: Stage) -> None:
    await settle(staged.watcher)
    await write(staged.watcher, ("native: 25%", "native: 30%"))
    last = config(client)["last"]
    changed = [line for line in last["lines"] if line["kind"] in ("added", "removed")]
    assert [(line["kind"], "30%" in line["text"]) for line in changed] == [("removed", False), ("added", True)]
    assert last["lines"][0]["kind"] == "range"
    assert not last["masked"]


async def test_change_of_a_secret_is_shown_masked(client: TestClient, staged: Stage) -> None:
    await settle(staged.watcher)
    await write(staged.watcher, (SECRET, "another-secret-another"))
    assert config(client)["last"] == {"lines": [], "masked": True}
    page = client.get("/config").text
    assert "A masked value has changed." in page
    assert "another-secret" not in page


async def test_refused_configuration_is_shown_with_its_problems(client: TestClient, staged: Stage) -> None:
    await settle(staged.watcher)
    await write(staged.watcher, ("native: 25%", "native: 250%"), ("secret: ", "secert: "))
    data, page = config(client), client.get("/config").text
    wrong = {line["number"]: line["wrong"] for line in data["refused"] if line["wrong"]}
    assert list(wrong) == [3, 7]
    assert "between 0% and 100%" in wrong[7][0]
    assert "between 0% and 100%" in page
    assert [line["number"] for line in data["refused"]] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert len([line for line in data["pending"]["lines"] if line["kind"] == "added"]) == 2
    assert SECRET not in page + str(data)
    assert "the last good version is in force" in page


async def test_unparsable_configuration_is_not_shown(client: TestClient, staged: Stage) -> None:
    await settle(staged.watcher)
    staged.watcher.path.write_text(f"overrides: {{secret: {SECRET}\n")
    await settle(staged.watcher)
    data, page = config(client), client.get("/config").text
    assert (data["refused"], data["pending"]) == ([], None)
    assert "not YAML" in page
    assert "not valid YAML" in page
    assert SECRET not in page + str(data)
