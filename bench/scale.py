"""The list of consultations by its length, in a database of many consultations."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from bench.contenders import Field, field
from bench.load import in_turns, load
from bench.report import Comparison
from demo.mongod import mongodb
from demo.ports import free_port
from handlers.legacy.auth import sign
from handlers.services.documents import new_consultation, new_user

LENGTHS: Final = (1, 10, 100, 1000)
OTHERS: Final = 100_000
SECRET: Final = "bench-secret"
_BATCH: Final = 10_000


def scale(seconds: float, rounds: int) -> list[Comparison]:
    """Return one comparison for each length, at one connection: an empty database, and one of `OTHERS` more."""
    with mongodb() as url, field() as contenders:
        names = {"few": 0, "many": OTHERS}
        ports = {name: _start(contenders, url, name) for name in names}
        tokens = {name: _plant(url, name, others) for name, others in names.items()}
        return [_compare(contenders, ports, tokens, length, seconds, rounds) for length in LENGTHS]


def _start(contenders: Field, url: str, database: str) -> int:
    port = free_port()
    env = {"MONGODB_URL": url, "DATABASE_NAME": database, "JWT_SECRET_KEY": SECRET}
    command: list[str | Path] = [sys.executable, "-m", "uvicorn", "handlers.app:app", "--port", str(port)]
    contenders.start(database, [*command, "--no-access-log"], port, env)
    return port


def _plant(url: str, name: str, others: int) -> dict[int, str]:
    """Insert clinicians with so many consultations each, and those of others; return the clinicians' tokens."""
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
    return tokens


def _insert(database: Database[dict[str, Any]], clinicians: list[ObjectId]) -> None:
    pairs = [new_consultation(each, {"name": "Patient", "age": 40}) for each in clinicians]
    database["consultations"].insert_many([consultation for consultation, _ in pairs])
    database["transcripts"].insert_many([transcript for _, transcript in pairs])


def _compare(
    contenders: Field,
    ports: dict[str, int],
    tokens: dict[str, dict[int, str]],
    length: int,
    seconds: float,
    rounds: int,
) -> Comparison:
    measures = {}
    for name, port in ports.items():
        script = contenders.place / f"{name}-{length}.lua"
        script.write_text(f'wrk.headers["Authorization"] = "Bearer {tokens[name][length]}"\n')
        url = f"http://127.0.0.1:{port}/api/consultation"
        measures[name] = partial(load, url, 1, seconds, script)
    title = f"{length:,} consultations of a clinician; few: no others, many: {OTHERS:,} others"
    return Comparison(title, in_turns(measures, rounds), "few")
