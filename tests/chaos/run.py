"""Play attacks one after another, each on its own gateway."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import tests.chaos
from demo.mongod import Mongod
from demo.services import DemoLegacy, backend_environment
from tests.chaos.figures import Attack, Figures, Row, rows
from tests.chaos.target import Site
from tests.support.backends import NOWHERE


def all_attacks() -> list[Attack]:
    """Return the `ATTACKS` of every module here whose name begins with `attacks_`."""
    names = sorted(module.name for module in pkgutil.iter_modules(tests.chaos.__path__))
    modules = [importlib.import_module(f"tests.chaos.{name}") for name in names if name.startswith("attacks_")]
    return [attack for module in modules for attack in module.ATTACKS]


@asynccontextmanager
async def site(mongodb: str | None = None, database: str = "chaos") -> AsyncIterator[Site]:
    """Start the Node legacy for all attacks, and a mongod if no URL of one is given."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        if mongodb is None:
            mongodb = (await stack.enter_async_context(Mongod(directory / "mongod"))).url
        legacy = DemoLegacy(backend_environment(mongodb, NOWHERE, database), directory / "legacy.log")
        await asyncio.to_thread(legacy.start)
        stack.push_async_callback(asyncio.to_thread, legacy.stop)
        yield Site(mongodb, database, legacy, directory)


async def play(attacks: Sequence[Attack]) -> list[Row]:
    """Play the attacks, with a line to stderr for each; return all figures. An attack that raises has failed."""
    results: list[Row] = []
    async with site() as parts:
        for number, attack in enumerate(attacks, 1):
            started = time.monotonic()
            sys.stderr.write(f"[{number}/{len(attacks)}] {attack.name} … ")
            sys.stderr.flush()
            figures = await _play_one(parts, attack)
            lines = list(rows(attack.name, figures))
            result = "FAIL" if any(row.passed is False for row in lines) else "pass"
            sys.stderr.write(f"{result} ({time.monotonic() - started:.0f} s)\n")
            results += lines
    return results


async def _play_one(parts: Site, attack: Attack) -> Figures:
    try:
        async with parts.target(attack.setup) as target:
            return await attack.run(target)
    except Exception as error:  # the other attacks are still measured
        return {"failed": 1, "reason": f"{type(error).__name__}: {error}"[:200]}
