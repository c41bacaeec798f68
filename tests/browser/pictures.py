"""Take the pictures of the ops pages in docs/: `make pictures`. Needs a Chromium.

The pages are real, and so are guard, rollout and stored counts; requests and their times are made up.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from demo.mongod import mongodb
from demo.services import ROOT
from proxy.config.field_types import ZERO
from proxy.config.models import Route
from proxy.database.database import Database
from proxy.ops.app import create_ops
from proxy.reports import counter_keys
from proxy.reports.counters import CounterBatch, key
from proxy.reports.storage import Storage
from proxy.rollout.model import Attribution, RouteState
from proxy.rollout.mongo import MongoStore
from proxy.rollout.store import Store
from proxy.rollout.transitions import acknowledge, initial_state, promote, roll_back, start_rollout
from proxy.types import Backend
from tests.browser.chromium import chromium
from tests.browser.tab import DESKTOP, TOKEN, Tab
from tests.support.board_scene import GROUPS, board_config, board_stage
from tests.support.ops_server import Stage
from tests.support.request_records import request_record
from tests.support.sockets import serving
from tests.support.unhurried import patient_database

DOCS: Final = ROOT / "docs"
PICTURES: Final[Mapping[str, str]] = {"ops-overview.webp": "/", "ops-live.webp": "/routes/ai.0/live"}
"""The files in docs/, and the pages that they show."""
QUALITY: Final = 80
_DAY: Final = 86_400.0
_PER_HOUR: Final[Mapping[str, tuple[int, int]]] = {
    "users": (0, 9),
    "consultations": (11, 0),
    "notes": (6, 2),
    "prompts": (9, 1),
    "ai": (7, 2),
    "v1": (0, 3),
}
"""Requests an hour of each route of a group: of legacy and of native."""


async def take(directory: Path, mongodb_url: str) -> None:
    """Write all pictures to a directory."""
    database = patient_database(mongodb_url, "pictures")
    await database.command({"dropDatabase": 1})
    with tempfile.TemporaryDirectory() as workspace:
        staged = await _staged(Path(workspace), database)
        try:
            await _photograph(staged, directory)
        finally:
            await staged.controller.stop()
            await database.command({"dropDatabase": 1})
            await database.close()


async def _staged(directory: Path, database: Database) -> Stage:
    """Return a process with 28 routes, one of which has been rolled out for ten days."""
    store = MongoStore(database)
    await _roll_out(store, next(route for route in board_config().routes if route.group == "ai"))
    await Storage(database).add(_day_of_requests())
    staged = await board_stage(directory, store=store)
    staged.database = database
    return staged


async def _photograph(staged: Stage, directory: Path) -> None:
    legacy = urlsplit(staged.controller.config.legacy.url)
    async with (
        await asyncio.start_server(lambda _, writer: writer.close(), legacy.hostname, legacy.port),
        chromium({}) as browser,
        serving(create_ops(staged, TOKEN)) as port,
        Tab.opened(browser, f"http://127.0.0.1:{port}", DESKTOP) as tab,
    ):
        await tab.log_in()
        for name, page in PICTURES.items():
            await tab.page.goto(page)
            await tab.page.screenshot(path=directory / name, type="webp", quality=QUALITY)


async def _roll_out(store: Store, route: Route) -> None:
    """Store a rollout that began ten days ago: it rose to 50%, was rolled back to 10% for a while, and is at 25%."""
    now = time.time()

    def by(days_ago: float, actor: str, reason: str) -> Attribution:
        return Attribution(actor, reason, now - days_ago * _DAY)

    passed = "every gate was passed for 3d"
    states: list[RouteState] = [start_rollout(route, initial_state(route), now - 10 * _DAY)]
    states.append(promote(route, states[-1], by(6.9, "schedule", passed)))
    states.append(promote(route, states[-1], by(3.8, "schedule", passed)))
    states.append(roll_back(route, states[-1], ZERO, by(3.1, "Ada", "summaries without a heading")))
    states.append(acknowledge(route, states[-1], by(2.6, "Ada", "fixed in release 41"), at_once=True))
    states.append(promote(route, states[-1], by(0.8, "Ada", "release 41 is fine")))
    for state in states:
        assert await store.replace(state)


def _day_of_requests() -> CounterBatch:
    batch, now = CounterBatch(), time.time()
    for hour in range(24):
        at = now - 3600 * hour
        for group, numbers in _PER_HOUR.items():
            for number in range(GROUPS[group]):
                _count(batch, f"{group}.{number}", numbers, at)
    for number in range(3):
        batch.add(key("verdict", route=f"consultations.{number}", verdict="match"), now, 19)
    return batch


def _count(batch: CounterBatch, route: str, numbers: tuple[int, int], at: float) -> None:
    backends: tuple[Backend, Backend] = ("legacy", "native")
    for backend, requests in zip(backends, numbers, strict=True):
        batch.add(counter_keys.of_observation(request_record(route=route, backend=backend)), at, requests)


def main() -> None:
    with mongodb() as url:
        asyncio.run(take(DOCS, url))
    print("\n".join(f"docs/{name}: {page}" for name, page in PICTURES.items()))  # noqa: T201 - the command's output


if __name__ == "__main__":
    main()
