"""No input of a client blocks the event loop: all hostile requests, in a smaller size.

`python -m tests.hostile` prints how long each one blocks it in its full size.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from handlers.app import create_app
from handlers.json_structure import MAX_VALUES
from tests.hostile.attack import Attack, behind_gateway
from tests.hostile.loop_watch import watched_loops
from tests.hostile.person import Person
from tests.support.backends import NOWHERE, scratch_database, settings_for
from tests.support.random_seed import seeds
from tests.support.sockets import threaded

SIZE = 300_000
LONGEST = 0.05
"""CPU seconds of the loop's thread in one callback, which other processes do not lengthen."""


@contextmanager
def untraced_threads() -> Iterator[None]:
    """Start threads without the tracer that measures coverage, which makes a loop two to three times slower."""
    tracer = threading.gettrace()
    threading.settrace(cast(Any, None))
    try:
        yield
    finally:
        threading.settrace(cast(Any, tracer))


@pytest.fixture(scope="module")
def attack(mongodb_url: str) -> Iterator[Attack]:
    with scratch_database(mongodb_url) as database:
        settings = settings_for(
            mongodb_url, database.name, openai_base_url=NOWHERE, openai_api_key="x", model_deadline=0.2
        )
        gc.collect()
        gc.freeze()  # as the native app does when it is served, so that pytest's objects do not slow collections
        app = behind_gateway(create_app(settings))
        with watched_loops() as watch, untraced_threads(), threaded(app, "on", loop="asyncio") as url:
            attack = Attack(url, watch, Person.store(database), suspect=LONGEST)
            asyncio.run(attack.run(SIZE, seeds(1)))
            gc.unfreeze()
            yield attack


@pytest.mark.seeded
def test_hostile_requests_block_the_loop_briefly(attack: Attack) -> None:
    slow = [
        f"{lag.seconds:.3f} s: {lag.request} {lag.culprit[:99]}" for lag in attack.worst(20) if lag.seconds > LONGEST
    ]
    assert not slow


@pytest.mark.seeded
def test_hostile_requests_are_answered_or_refused(attack: Attack) -> None:
    assert len(attack.lags) > 300
    failed = [
        f"{lag.status}: {lag.request}" for lag in attack.lags if not lag.status.isdigit() and lag.status != "closed"
    ]
    assert not failed


@pytest.mark.seeded
async def test_neighbour_in_a_pipeline_gets_its_own_answer(attack: Attack) -> None:
    assert await attack.wrong_neighbours(SIZE // 15) == []


def test_watch_measures_the_loop(attack: Attack) -> None:
    assert attack.worst(1)[0].seconds > 0
    assert MAX_VALUES < SIZE
