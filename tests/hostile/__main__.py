"""Print the hostile requests that block the native app's event loop longest."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys

from demo.mongod import mongodb
from handlers.app import create_app
from tests.hostile.attack import Attack, Person, behind_gateway
from tests.hostile.loop_watch import watched_loops
from tests.support.backends import NOWHERE, scratch_database, settings_for
from tests.support.sockets import threaded


def main() -> None:
    """Play everything, with texts of the size given (bytes; 10 MB by default). `quick`: less; `json`: one object."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    logging.disable(logging.CRITICAL)
    with mongodb() as url, scratch_database(url) as database:
        app = create_app(
            settings_for(url, database.name, openai_base_url=NOWHERE, openai_api_key="x", model_deadline=0.2)
        )
        with watched_loops() as watch, threaded(behind_gateway(app), "on", loop="asyncio") as address:
            gc.collect()
            gc.freeze()  # as the native app does when it is served
            attack = Attack(address, watch, Person.store(database))
            asyncio.run(attack.run(size, quick="quick" in sys.argv))
    sys.stdout.write(as_json(attack) if "json" in sys.argv else as_lines(attack))


def as_lines(attack: Attack) -> str:
    """Return a line for each of the slowest."""
    worst = attack.worst(60)
    return "".join(
        f"{1000 * lag.seconds:8.1f} ms  {lag.status:>6}  {lag.request}   {lag.culprit[:150]}\n" for lag in worst
    )


def as_json(attack: Attack) -> str:
    """Return the number of requests, the longest lag in milliseconds with its request, and those not answered."""
    (worst,) = attack.worst(1)
    unanswered = sum(not lag.status.isdigit() and lag.status != "closed" for lag in attack.lags)
    return json.dumps(
        {
            "requests": len(attack.lags),
            "worst": 1000 * worst.seconds,
            "slowest": worst.request,
            "unanswered": unanswered,
        }
    )


if __name__ == "__main__":
    main()
