"""The docs pages, and the OpenAPI document merged from the contract and the native app."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from proxy.config.loading import load
from proxy.config.models import Config
from proxy.config.problems import ConfigError
from proxy.docs.app import Docs
from proxy.docs.merging import merge, published
from proxy.docs.openapi import read_contract
from proxy.docs.pages import ASSETS, POLICY, REDOC, SWAGGER

ROOT = Path(__file__).parents[3]
HEAD = "legacy: {url: http://127.0.0.1:9}\nnative: a:b\n"
CONTRACT = """
openapi: 3.1.1
info: {title: Legacy, version: '7'}
tags: [{name: notes}]
paths:
  /notes: {$ref: 'notes.yaml#/~1notes'}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  headers: {ETag: {schema: {type: string, x-compare: ignore}}}
x-otherwise: {responses: {'404': {description: none}}}
"""
NOTES = """
/notes:
  get:
    operationId: list
    security: [{bearer: []}]
    responses:
      '200':
        description: OK
        headers: {ETag: {$ref: 'openapi.yaml#/components/headers/ETag'}}
"""
NATIVE: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Native", "version": "1"},
    "paths": {
        "/notes": {"get": {"operationId": "mine", "responses": {}}, "post": {"operationId": "make", "responses": {}}},
        "/v1/notes": {"get": {"operationId": "list", "tags": ["v1"], "security": [{"bearer": []}], "responses": {}}},
    },
    "components": {
        "schemas": {"Note": {"type": "object"}},
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
    },
}


class Native:
    """A native app that serves its OpenAPI document until the test stops it."""

    def __init__(self) -> None:
        self.request_count = 0
        self.answer: Response = JSONResponse(NATIVE)
        self.app = Starlette(routes=[Route("/api/openapi.json", self.serve)])

    async def serve(self, _: Request) -> Response:
        self.request_count += 1
        return self.answer


class Stage:
    """The pages in front of a gateway that records its requests."""

    def __init__(self, directory: Path, text: str = "docs: {native: /api/openapi.json}") -> None:
        self.file = directory / "routing.yaml"
        self.native = Native()
        self.docs = Docs(PlainTextResponse("gateway"), self.read(text), self.native.app, directory)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.docs), base_url="http://public")

    def read(self, text: str) -> Config:
        self.file.write_text(HEAD + text)
        return load(self.file, {})

    async def document(self) -> Any:
        return (await self.client.get("/openapi.json")).json()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    contracts = tmp_path / "contracts"
    contracts.mkdir()
    (contracts / "openapi.yaml").write_text(CONTRACT)
    (contracts / "notes.yaml").write_text(NOTES)
    return Stage(tmp_path)


@pytest.mark.parametrize(("path", "loads"), [("/docs", SWAGGER), ("/redoc", REDOC)])
async def test_docs_page_loads_shipped_assets_only(stage: Stage, path: str, loads: Any) -> None:
    page = await stage.client.get(path)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["content-security-policy"] == POLICY
    assert page.headers["date"].endswith("GMT")
    assert page.headers["x-served-by"] == "gateway"
    assert "/openapi.json" in page.text
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    fetched = [name for name in named if not name.startswith("data:")]
    assert {name.rpartition("/")[2] for name in fetched} == set(loads.files)
    for name in fetched:
        answer = await stage.client.get(name)
        assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff")
        assert len(answer.content) > 100


async def test_redoc_loads_nothing_from_other_hosts(stage: Stage) -> None:
    script = (await stage.client.get("/redoc/redoc.standalone.js")).text
    assert "cdn.redoc" not in script
    assert not re.search(r'(?:src|href):"https?://(?!redocly\.com|www\.w3\.org)', script)


@pytest.mark.parametrize("path", ["/docs/", "/docs/LICENSE", "/DOCS", "/", "/redoc/start.js"])
async def test_other_paths_pass_to_the_gateway(stage: Stage, path: str) -> None:
    assert (await stage.client.get(path)).text == "gateway"
    assert (await stage.client.get("/docs?deep=link")).text != "gateway"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_pages_are_only_read(stage: Stage, method: str) -> None:
    assert (await stage.client.request(method, "/docs")).text == "gateway"


async def test_head_and_conditional_requests_have_no_body(stage: Stage) -> None:
    page = await stage.client.get("/docs")
    head = await stage.client.head("/docs")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(page.content)))
    known = await stage.client.get("/docs", headers={"if-none-match": f'"other", W/{page.headers["etag"]}'})
    assert (known.status_code, known.content) == (304, b"")
    assert (await stage.client.get("/docs", headers={"if-none-match": '"other"'})).status_code == 200


async def test_reload_moves_the_pages_and_switches_them_off(stage: Stage) -> None:
    assert "swagger-ui-bundle" in (await stage.client.get("/docs")).text
    stage.docs.apply_config(stage.read("docs: {swagger: /help/api, openapi: /help/api.json}"))
    page = await stage.client.get("/help/api")
    assert ('data-openapi="/help/api.json"' in page.text, "/help/api/start.js" in page.text) == (True, True)
    assert (await stage.client.get("/docs")).text == "gateway"
    stage.docs.apply_config(stage.read("docs:"))
    assert (await stage.client.get("/help/api")).text == "gateway"


async def test_document_merges_both_backends(stage: Stage) -> None:
    document = await stage.document()
    assert document["openapi"] == "3.1.1"
    assert document["info"] == {"title": "Legacy", "version": "7"}
    assert document["paths"].keys() == {"/notes", "/v1/notes"}
    assert [document["paths"]["/notes"][method]["operationId"] for method in ("get", "post")] == ["list", "make"]
    assert document["paths"]["/v1/notes"]["get"]["operationId"] == "native.list"
    assert document["tags"] == [{"name": "notes"}, {"name": "v1"}]
    assert document["components"].keys() == {"schemas", "securitySchemes"}
    headers = document["paths"]["/notes"]["get"]["responses"]["200"]["headers"]
    assert headers == {"ETag": {"schema": {"type": "string"}}}
    assert "x-otherwise" not in document


async def test_document_is_rebuilt_after_a_change_only(stage: Stage, tmp_path: Path) -> None:
    await stage.document()
    await stage.document()
    assert stage.native.request_count == 1
    (tmp_path / "contracts" / "openapi.yaml").write_text(CONTRACT.replace("Legacy", "Renamed"))
    assert (await stage.document())["info"]["title"] == "Renamed"
    assert stage.native.request_count == 2


@pytest.mark.parametrize("answer", [PlainTextResponse("", 503), PlainTextResponse("{"), JSONResponse([1])])
async def test_document_without_native_is_retried(stage: Stage, answer: Response) -> None:
    stage.native.answer = answer
    assert (await stage.document())["paths"].keys() == {"/notes"}
    stage.native.answer = JSONResponse(NATIVE)
    assert (await stage.document())["paths"].keys() == {"/notes", "/v1/notes"}


async def test_invalid_contract_is_omitted_and_logged(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    (stage.file.parent / "contracts" / "notes.yaml").unlink()
    with caplog.at_level(logging.WARNING, "scribe_proxy.docs"):
        assert (await stage.document())["info"]["title"] == "Native"
    assert "the contract is omitted from the docs" in caplog.text


async def test_document_without_sources_is_empty(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "docs: {}")
    document = await stage.document()
    assert (document["info"]["title"], document["paths"]) == ("API", {})


def test_conflicting_component_names_are_renamed() -> None:
    schemes = {"key": {"type": "http", "scheme": "basic"}}
    contract = {"components": {"securitySchemes": schemes}, "security": [{"key": []}]}
    operation: Mapping[str, Any] = {"security": [{"key": []}, {"other": []}]}
    native = {
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}, "other": {}}},
        "security": [{"other": []}],
        "paths": {"/a": {"get": operation, "post": {}, "summary": "A"}},
    }
    merged = merge(contract, native)
    assert merged["components"]["securitySchemes"].keys() == {"key", "native.key", "other"}
    assert merged["paths"]["/a"]["get"]["security"] == [{"native.key": []}, {"other": []}]
    assert (merged["paths"]["/a"]["post"]["security"], merged["security"]) == ([{"other": []}], [{"key": []}])
    open_native = merge(contract, {"paths": {"/a": {"get": {}}}})
    assert open_native["paths"]["/a"]["get"]["security"] == []


def test_shipped_contract_is_shown_without_internal_keys() -> None:
    contract = read_contract(ROOT / "contracts" / "openapi.yaml")
    assert len(contract["paths"]) > 20
    assert not {"$ref", "x-compare", "x-report"} & set(keys(contract))
    assert published({"openapi": "3.1.1"}) == {"openapi": "3.1.1"}


def keys(value: object) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(key for member in value.values() for key in keys(member))]
    return [key for member in value for key in keys(member)] if isinstance(value, list) else []


def test_shipped_assets_equal_the_published_ones() -> None:
    text = (ASSETS / "README.md").read_text()
    listed = {name: digest for digest, name in re.findall(r"^([0-9a-f]{64})  (\S+)$", text, re.MULTILINE)}
    files = {str(file.relative_to(ASSETS)): file for file in ASSETS.glob("*/*")}
    assert files.keys() - listed.keys() == {"swagger-ui/start.js"}
    for name, digest in listed.items():
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == digest, name


def notes(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "routing.yaml").write_text(HEAD + text)
    return [str(note.message) for note in load(tmp_path / "routing.yaml", {}).notes]


def test_check_notes_routes_hidden_by_the_docs(tmp_path: Path) -> None:
    routes = """
docs: {openapi: /help/api.json}
routes:
  - {name: a, match: GET /docs}
  - {name: c, match: POST /redoc}
  - {name: b, match: "* /{page}"}
  - {name: d, match: "* /help/*"}
"""
    assert notes(tmp_path, routes) == [
        "GET /docs never reaches this route: docs.swagger answers it",
        "GET /docs never reaches this route: docs.swagger answers it",
        "GET /redoc never reaches this route: docs.redoc answers it",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("docs: {redoc: /docs}", "docs.swagger has the path /docs already"),
        ("docs: {openapi: docs}", "must be a path, as in /docs"),
    ],
)
def test_invalid_docs_paths_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        notes(tmp_path, text)
    assert message in str(refused.value)


def test_docs_of_native_without_native_are_refused(tmp_path: Path) -> None:
    (tmp_path / "routing.yaml").write_text("legacy: {url: http://127.0.0.1:9}\ndocs: {native: /x}\n")
    with pytest.raises(ConfigError, match="no `native:`"):
        load(tmp_path / "routing.yaml", {})
