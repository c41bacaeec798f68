"""An outage of the database that both backends share: native reports it, and the guard does not roll back."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from pymongo import MongoClient

from demo.mongod import Mongod, find_mongod
from demo.ports import free_port
from demo.services import Gateway, Upstreams, backend_environment
from proxy.recordings.raw_http import Origin, exchange
from tests.differential.people import TOKEN
from tests.support.backend_pair import get
from tests.support.clinic import DOCUMENTS
from tests.support.waiting import HANG_TIMEOUT

pytestmark = [
    pytest.mark.skipif(find_mongod() is None, reason="no mongod to stop and start"),
]

ROUTING: Final = """
legacy: {{url: "{legacy}"}}
native: handlers.app:app
mongodb: {{url: ""}}
routes:
  - {{name: held, match: GET /users/profile, native: 100%, guard: {{minimum: 20, min_callers: 1}}}}
  - name: strict
    match: GET /api/prompts
    native: 100%
    guard: {{minimum: 20, min_callers: 1, max_dependency_failures: 5%}}
  - {{name: rest, match: "* /*"}}
"""
REQUESTS: Final = {"held": get("/users/profile", TOKEN), "strict": get("/api/prompts", TOKEN)}


@pytest.mark.slow
def test_outage_of_the_database_causes_no_rollback(tmp_path: Path) -> None:
    # The strict route shows that the same failures roll back if they exceed the limit for dependencies.
    mongod, file, ports = Mongod(tmp_path / "data"), tmp_path / "routing.yaml", (free_port(), free_port())
    origin = Origin.parse(f"http://127.0.0.1:{ports[0]}")
    with ExitStack() as running:
        running.callback(mongod.stop)
        mongod.start()
        plant(mongod.url)
        upstreams = Upstreams(tmp_path / "upstreams.log")
        running.callback(upstreams.stop)
        upstreams.start()
        file.write_text(ROUTING.format(legacy=upstreams.url))
        environment = backend_environment(mongod.url, upstreams.url, "outage")
        gateway = Gateway(file, environment, tmp_path / "log", host="127.0.0.1", port=ports[0], ops_port=ports[1])
        running.callback(gateway.stop)
        gateway.start()

        assert asyncio.run(statuses(origin, 100)) == {"held": {200}, "strict": {200}}
        mongod.stop()
        assert asyncio.run(statuses(origin, 40))["held"] == {503}
        asyncio.run(until_capped(ports[1], "strict"))
        assert cap(ports[1], "held") is None
        mongod.start()
        asyncio.run(until_answered(origin))
        assert asyncio.run(statuses(origin, 40))["held"] == {200}
        assert cap(ports[1], "held") is None


def plant(url: str) -> None:
    with MongoClient[dict[str, Any]](url) as client:
        for name, documents in DOCUMENTS.items():
            client["outage"][name].insert_many([dict(document) for document in documents])


async def statuses(origin: Origin, number: int) -> dict[str, set[int | None]]:
    """Send requests on each route; return their statuses."""
    return {
        name: {
            answer.status for answer in await asyncio.gather(*(exchange(origin, request, 30) for _ in range(number)))
        }
        for name, request in REQUESTS.items()
    }


async def until_answered(origin: Origin) -> None:
    async with asyncio.timeout(HANG_TIMEOUT):
        while (await exchange(origin, REQUESTS["held"], 30)).status != 200:
            await asyncio.sleep(0.1)


async def until_capped(ops: int, name: str) -> None:
    async with asyncio.timeout(HANG_TIMEOUT):
        while await asyncio.to_thread(cap, ops, name) is None:
            await asyncio.sleep(0.1)


def cap(ops: int, name: str) -> object:
    """Return the cap of a route, None if it has none."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ops}/routes/{name}/live.json", timeout=30) as answer:
        view: dict[str, Any] = json.load(answer)
    return view["route"]["cap"]
