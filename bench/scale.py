"""Measure the list of consultations by its length and by others' documents, and one and two worker processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from bench.contenders import ServerGroup, routing, server_group
from bench.load import in_turns, load
from bench.report import Comparison
from demo.mongod import mongodb
from demo.ports import free_port
from handlers.legacy.auth import sign
from handlers.services.documents import new_consultation, new_user

LENGTHS: Final = (1, 10, 100, 1000)
OTHERS: Final[Mapping[str, int]] = {"none": 0, "100,000": 100_000, "1,000,000": 1_000_000}
"""Number of other clinicians' consultations, each with its transcript, by the title of the column."""
SECRET: Final = "bench-secret"
_BATCH: Final = 10_000


def scale(seconds: float, rounds: int) -> list[Comparison]:
    """Return a comparison for each length at one connection; its contenders are the numbers of others' documents."""
    with mongodb() as url, server_group() as contenders:
        ports = {name: _start(contenders, url, _database(name)) for name in OTHERS}
        tokens = {name: _plant(url, _database(name), others) for name, others in OTHERS.items()}
        return [_compare(contenders, ports, tokens, length, seconds, rounds) for length in LENGTHS]


def workers(seconds: float, rounds: int) -> list[Comparison]:
    """Return the comparison of one and two worker processes. On two cores, load and upstream compete with them."""
    with server_group() as contenders:
        upstream = contenders.upstream()
        ports = {}
        for number in (1, 2):
            config = routing(upstream, routes=30)
            ports[f"{number} worker{'s' if number > 1 else ''}"], _ = contenders.gateway(
                config, name=f"workers-{number}", options=("--workers", str(number))
            )
        urls = {name: f"http://127.0.0.1:{port}/small" for name, port in ports.items()}
        measures = {name: partial(load, url, 16, seconds) for name, url in urls.items()}
        return [Comparison("2.4 kB, 16 connections", in_turns(measures, rounds), "1 worker")]


def _database(column: str) -> str:
    return f"others_{column.replace(',', '')}"


def _start(contenders: ServerGroup, url: str, database: str) -> int:
    port = free_port()
    env = {"MONGODB_URL": url, "DATABASE_NAME": database, "JWT_SECRET_KEY": SECRET}
    command: list[str | Path] = [sys.executable, "-m", "uvicorn", "handlers.app:app", "--port", str(port)]
    contenders.start(database, [*command, "--no-access-log"], port, env)
    return port


def _plant(url: str, name: str, others: int) -> dict[int, str]:
    """Insert clinicians with consultations and `others` of further clinicians; return the clinicians' tokens."""
    tokens = {}
    with MongoClient[dict[str, Any]](url) as client:
        for length in LENGTHS:
            user = new_user(f"c{length}", f"c{length}@bench.example", "", "clinician")
            client[name]["users"].insert_one(user)
            _insert(client[name], [user["_id"]] * length)
            tokens[length] = sign({"userID": str(user["_id"])}, SECRET, 3600)
        crowd = [ObjectId() for _ in range(1000)]
        for start in range(0, others, _BATCH):
            _insert(client[name], [crowd[number % len(crowd)] for number in range(start, start + _BATCH)])
        client.admin.command("fsync")
    return tokens


def _insert(database: Database[dict[str, Any]], clinicians: list[ObjectId]) -> None:
    pairs = [new_consultation(each, {"name": "Patient", "age": 40}) for each in clinicians]
    database["consultations"].insert_many([consultation for consultation, _ in pairs])
    database["transcripts"].insert_many([transcript for _, transcript in pairs])


def _compare(
    contenders: ServerGroup,
    ports: dict[str, int],
    tokens: dict[str, dict[int, str]],
    length: int,
    seconds: float,
    rounds: int,
) -> Comparison:
    measures = {}
    for name, port in ports.items():
        script = contenders.directory / f"{name}-{length}.lua"
        script.write_text(f'wrk.headers["Authorization"] = "Bearer {tokens[name][length]}"\n')
        url = f"http://127.0.0.1:{port}/api/consultation"
        measures[name] = partial(load, url, 1, seconds, script)
    title = f"{length:,} consultations of a clinician, by the number of others'"
    return Comparison(title, in_turns(measures, rounds), "none")
