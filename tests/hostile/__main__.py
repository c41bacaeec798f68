"""Prints the hostile requests that hold the native app's event loop longest."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys

from demo.mongod import mongodb
from handlers.app import create_app
from tests.hostile.attack import Attack, Person
from tests.hostile.loop_watch import watched_loops
from tests.support.backends import NOWHERE, scratch_database, settings_for
from tests.support.sockets import threaded


def main() -> None:
    """Run all of it, with texts of the size given (bytes; 10 MB unless said otherwise)."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    logging.disable(logging.CRITICAL)
    with mongodb() as url, scratch_database(url) as database:
        app = create_app(
            settings_for(url, database.name, openai_base_url=NOWHERE, openai_api_key="x", model_deadline=0.2)
        )
        with watched_loops() as watch, threaded(app, "on", loop="asyncio") as address:
            gc.collect()
            gc.freeze()  # as the native app does when it is served
            attack = Attack(address, watch, Person.store(database))
            asyncio.run(attack.run(size, quick="quick" in sys.argv))
    for lag in attack.worst(60):
        sys.stdout.write(f"{1000 * lag.seconds:8.1f} ms  {lag.status:>6}  {lag.request}   {lag.culprit[:150]}\n")


if __name__ == "__main__":
    main()
