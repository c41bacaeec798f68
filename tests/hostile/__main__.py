"""Print the hostile requests that hold the native app's event loop longest, in milliseconds of CPU time."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import sys
from typing import Final

from demo.mongod import mongodb
from handlers.app import create_app
from tests.hostile.attack import Attack, behind_gateway
from tests.hostile.loop_watch import watched_loops
from tests.hostile.person import Person
from tests.support.backends import NOWHERE, scratch_database, settings_for
from tests.support.sockets import threaded

SUSPECT: Final = 0.02
"""CPU seconds for which a request holds the loop, from which it is sent again."""


def main() -> None:
    """Play all rounds against a mongod of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("size", type=int, nargs="?", default=10_000_000, help="bytes of the largest bodies")
    parser.add_argument("--rounds", type=int, default=1, help="number of rounds, with other fields, codings, mixtures")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first round")
    parser.add_argument("--json", action="store_true", help="print the figures of `make chaos`")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with mongodb() as url, scratch_database(url) as database:
        app = create_app(
            settings_for(url, database.name, openai_base_url=NOWHERE, openai_api_key="x", model_deadline=0.2)
        )
        with watched_loops() as watch, threaded(behind_gateway(app), "on", loop="asyncio") as address:
            gc.collect()
            gc.freeze()  # as the native app does when it is served
            attack = Attack(address, watch, Person.store(database), SUSPECT)
            asyncio.run(attack.run(options.size, range(options.seed, options.seed + options.rounds)))
    sys.stdout.write(as_json(attack) if options.json else as_lines(attack))


def as_lines(attack: Attack) -> str:
    """Return a line for each of the slowest, and for each of the longest answers."""
    slowest = "".join(
        f"{1000 * lag.seconds:8.1f} ms  {lag.status:>6}  {lag.request}   {lag.culprit[:60]}\n"
        for lag in attack.worst(40)
    )
    return slowest + "".join(
        f"{lag.size:9,} bytes  {lag.status:>6}  {lag.request}\n" for lag in attack.longest_refusals(10)
    )


def as_json(attack: Attack) -> str:
    """Return the number of requests and of those unanswered, the longest lag in ms, the longest refusal in bytes."""
    (worst,), (longest,) = attack.worst(1), attack.longest_refusals(1)
    unanswered = sum(not lag.status.isdigit() and lag.status != "closed" for lag in attack.lags)
    return json.dumps(
        {
            "requests": len(attack.lags),
            "worst": 1000 * worst.seconds,
            "slowest": worst.request,
            "longest": longest.size,
            "refused": longest.request,
            "unanswered": unanswered,
        }
    )


if __name__ == "__main__":
    main()
