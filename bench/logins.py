"""Measure the effect of 200 concurrent logins on a cheap request, `GET /`."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx

from bench.contenders import server_group
from bench.load import Reading, in_turns, load
from bench.native import LEGACY, contend
from bench.report import Comparison
from demo.mongod import mongodb

LOGINS = 200
PERSON = {"email": "clinician@bench.example", "password": "correct horse"}
BEFORE = 1.0
"""Seconds of logins before the first measured request."""


def logins(seconds: float, rounds: int) -> list[Comparison]:
    """Measure requests on one connection while 200 others log in."""
    with mongodb() as url, server_group() as contenders:
        ports = contend(contenders, url)
        account = {**PERSON, "username": "clinician", "role": "clinician"}
        httpx.post(f"http://127.0.0.1:{ports[LEGACY]}/users/register", json=account).raise_for_status()
        script = _script(contenders.directory)
        concurrent: dict[str, list[Reading]] = {name: [] for name in ports}
        measures = {name: partial(_measure, port, seconds, script, concurrent[name]) for name, port in ports.items()}
        others = in_turns(measures, rounds)
        return [
            Comparison(f"GET / beside {LOGINS} logins", others, LEGACY),
            Comparison(f"{LOGINS} logins", concurrent, LEGACY),
        ]


def _measure(port: int, seconds: float, script: Path, concurrent: list[Reading]) -> Reading:
    url = f"http://127.0.0.1:{port}/"
    with ThreadPoolExecutor(1) as pool:
        logging_in = pool.submit(load, url, LOGINS, seconds + 2 * BEFORE, script)
        time.sleep(BEFORE)
        others = load(url, 1, seconds)
        concurrent.append(logging_in.result())
    return others


def _script(directory: Path) -> Path:
    """Return a wrk script that logs in as one user."""
    file = directory / "login.lua"
    body = json.dumps(PERSON)
    file.write_text(
        'wrk.method, wrk.path = "POST", "/users/login"\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        f"wrk.body = '{body}'\n"
    )
    return file
