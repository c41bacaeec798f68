"""Pages of a file with many routes: each lists the first ones, finds the others, and its JSON has all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from demo.ports import free_port
from proxy.ops.app import create_ops
from tests.support.ops_server import stage

ROUTES = 150
ROUTE = "  - {{name: part{number}, match: GET /parts/{number}, native: 25%, guard: {{}}}}\n"
TEXT = "legacy: {url: 'http://127.0.0.1:PORT'}\nnative: a:b\nops: {hosts: [testserver]}\nroutes:\n" + "".join(
    ROUTE.format(number=number) for number in range(ROUTES)
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    directory: Path = tmp_path_factory.mktemp("ops")
    text = TEXT.replace("{", "{{").replace("}", "}}").replace("PORT", "{port}")
    with TestClient(create_ops(stage(directory, free_port(), text))) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "data", "listed", "noun"),
    [
        ("/", "/index.json", 50, "groups"),
        ("/live", "/live.json", 40, "routes"),
        ("/comparisons", "/comparisons.json", 50, "routes"),
    ],
)
def test_page_lists_the_first_and_its_json_all(
    client: TestClient, path: str, data: str, listed: int, noun: str
) -> None:
    page, every = client.get(path).text, client.get(data).json()["groups" if path == "/" else "routes"]
    assert len([one for one in every if one["name"].startswith("part")]) == ROUTES  # others are counts of other tests
    assert len(set(re.findall(r">part\d+<", page))) == listed
    assert re.search(rf"The first {listed} of \d+ {noun}", page)
    assert ">part120<" not in page
    assert ">part120<" in client.get(f"{path}?q=part120").text
