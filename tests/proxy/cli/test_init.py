"""`init` writes files that `check` accepts, and overwrites nothing without `--force`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proxy.cli.main import main
from proxy.config.loading import load

ROOT = Path(__file__).parents[3]
CONTRACTS = ROOT / "contracts"
LEGACY = "http://127.0.0.1:4500"
READ = {
    "operationId": "items.read",
    "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
    "responses": {"200": {"description": "one"}},
}
SMALL = {"openapi": "3.1.1", "info": {"title": "Shop", "version": "1"}, "paths": {"/items/{id}": {"get": READ}}}


def init(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["init", *map(str, arguments)])


@pytest.fixture
def openapi(tmp_path: Path) -> Path:
    file = tmp_path / "shop.json"
    file.write_text(json.dumps(SMALL))
    return file


def checked(directory: Path) -> str:
    result = CliRunner().invoke(main, ["check", "--strict", str(directory / "routing.yaml")])
    assert result.exit_code == 0, result.output
    return result.output


def test_openapi_file_becomes_routes_and_contract(tmp_path: Path, openapi: Path) -> None:
    result = init(tmp_path / "shop", "--legacy", LEGACY, "--openapi", openapi, "--native", "handlers.app:app")
    assert result.exit_code == 0, result.output
    assert "1 operation" in checked(tmp_path / "shop")
    config = load(tmp_path / "shop" / "routing.yaml", {})
    assert [(route.name, route.match, route.share) for route in config.routes] == [("items.read", "GET /items/{id}", 0)]
    assert config.native == "handlers.app:app"


def test_contract_named_openapi_stays_in_place(tmp_path: Path) -> None:
    assert init(tmp_path, "--legacy", LEGACY, "--openapi", CONTRACTS / "openapi.yaml").exit_code == 0
    assert "27 operations" in checked(tmp_path)
    assert not (tmp_path / "contracts").exists()


def test_recordings_become_routes_and_an_inferred_contract(tmp_path: Path) -> None:
    assert init(tmp_path, "--legacy", LEGACY, "--recordings", CONTRACTS / "recordings").exit_code == 0
    assert "operations" in checked(tmp_path)
    matches = {route.match for route in load(tmp_path / "routing.yaml", {}).routes}
    assert {"GET /api/notes/{id}", "WS /transcription-stream", "POST /users/login"} <= matches


def test_existing_files_stay_unless_forced(tmp_path: Path, openapi: Path) -> None:
    arguments = (tmp_path, "--legacy", LEGACY, "--openapi", openapi)
    (tmp_path / "contracts").mkdir()
    mine = [tmp_path / "routing.yaml", tmp_path / "contracts" / "openapi.yaml"]
    for file in mine:
        file.write_text("mine")
    assert init(*arguments).exit_code == 2
    assert [file.read_text() for file in mine] == ["mine", "mine"]
    assert init(*arguments, "--force").exit_code == 0
    checked(tmp_path)


def test_openapi_3_0_gives_routes_without_a_contract(tmp_path: Path, openapi: Path) -> None:
    openapi.write_text(json.dumps({**SMALL, "openapi": "3.0.3"}))
    result = init(tmp_path, "--legacy", LEGACY, "--openapi", openapi)
    assert result.exit_code == 0
    assert "not used as the contract" in result.output
    assert "1 route" in checked(tmp_path)


def test_base_path_precedes_every_route(tmp_path: Path, openapi: Path) -> None:
    openapi.write_text(json.dumps({**SMALL, "servers": [{"url": "https://shop.example/v1"}]}))
    assert "base path /v1" in init(tmp_path, "--legacy", LEGACY, "--openapi", openapi).output
    assert [route.match for route in load(tmp_path / "routing.yaml", {}).routes] == ["GET /v1/items/{id}"]


def test_copy_with_missing_references_is_not_a_contract(tmp_path: Path) -> None:
    source = tmp_path / "api" / "shop.yaml"
    source.parent.mkdir()
    (source.parent / "items.json").write_text(json.dumps({"item": {"get": READ}}))
    source.write_text(json.dumps({**SMALL, "paths": {"/items/{id}": {"$ref": "items.json#/item"}}}))
    result = init(tmp_path, "--legacy", LEGACY, "--openapi", source)
    assert "rename it to openapi.yaml" in result.output
    assert not (tmp_path / "contracts" / "openapi.yaml").exists()
    checked(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--legacy"),
        (["--legacy", "localhost:4500"], "must be an http, https or unix URL"),
        (["--legacy", LEGACY], "either --openapi or --recordings"),
        (["--legacy", LEGACY, "--openapi", __file__, "--native", "app"], "ASGI app"),
        (["--legacy", LEGACY, "--openapi", __file__], "test_init.py"),
        (["--legacy", LEGACY, "--recordings", Path(__file__).parent], "http.json"),
    ],
)
def test_wrong_usage_is_reported_and_writes_nothing(tmp_path: Path, arguments: list[object], message: str) -> None:
    result = init(tmp_path / "new", *arguments)
    assert result.exit_code in (1, 2)
    assert message in result.output
    assert not (tmp_path / "new" / "routing.yaml").exists()
