"""`python -m bench.reports`: measure report pages of a started gateway, with 30 days of 30 routes in MongoDB."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.contenders import server_group
from bench.processes import await_started, cpu_seconds
from demo.mongod import mongodb
from demo.ports import free_port
from proxy.database.database import Database
from proxy.reports.models import DAY, HOUR
from proxy.reports.storage import COUNTS, Storage

ROUTES: Final = 30
DAYS: Final = 30
FIELDS: Final = 16
PAGES: Final = ("/", "/comparisons", "/routes/route-7", "/routes/route-7/releases", "/drift", "/divergences")
DATABASE: Final = "bench_reports"
REPEATS: Final = 9


@dataclass(frozen=True, slots=True)
class PageReading:
    """Times of a page in milliseconds: first request, median of the others, CPU time of gateway and mongod for one."""

    path: str
    first: float
    typical: float
    gateway: float
    mongod: float


def counters(now: float, seconds: int) -> Iterator[dict[str, Any]]:
    """Yield the counters of all slices of `seconds`: verdicts, requests, skips and differing fields of each route."""
    last = int(now // seconds) * seconds
    keys: list[dict[str, Any]] = [
        *({"what": "verdict", "verdict": verdict} for verdict in ("match", "declared", "mismatch")),
        *({"what": "request", "backend": backend, "status": "2xx"} for backend in ("legacy", "native")),
        {"what": "skipped", "reason": "shed"},
        *(
            {"what": "field", "operation": "o", "field": f"body.f{n}", "kind": "value", "severity": "major"}
            | {"declared": False}
            for n in range(FIELDS)
        ),
    ]
    for slice_ in range(last - DAYS * DAY, last + 1, seconds):
        at = {"at": datetime.fromtimestamp(slice_, UTC), "first": float(slice_), "last": slice_ + seconds - 1.0}
        for route in range(ROUTES):
            yield from ({**key, **at, "route": f"route-{route}", "number": 7} for key in keys)


async def fill(url: str, now: float) -> int:
    """Store the counters by hour and by day; return their number."""
    database = Database(url, DATABASE)
    try:
        await Storage(database).prepare(40 * DAY)
        stored = 0
        for seconds in (HOUR, DAY):
            documents = list(counters(now, seconds))
            for start in range(0, len(documents), 10_000):
                await database.collection(COUNTS[seconds]).insert_many(documents[start : start + 10_000], ordered=False)
            stored += len(documents)
        return stored
    finally:
        await database.close()


def measure() -> tuple[int, list[PageReading]]:
    """Return the number of counters and a reading for every page."""
    with mongodb() as url, server_group() as contenders:
        stored = asyncio.run(fill(url, time.time()))
        port, ops = free_port(), free_port()
        file = contenders.directory / "reports.yaml"
        file.write_text(_file(url))
        child = contenders.serve(file, port, ops)
        try:
            assert child.pid is not None
            await_started(child.pid)
            return stored, [_read(ops, path, child.pid, _server_of(url)) for path in PAGES]
        finally:
            contenders.end(child)


def _file(url: str) -> str:
    routes = "".join(f"  - {{name: route-{n}, match: GET /r{n}, shadow: 10%}}\n" for n in range(ROUTES))
    return (
        "legacy: {url: 'http://127.0.0.1:9'}\nnative: bench.shadowed:healthy\n"
        f"mongodb: {{url: '{url}', database: {DATABASE}}}\nreports: {{retention: 40d}}\nroutes:\n{routes}"
    )


def _server_of(url: str) -> int:
    """Return the process that listens on the port of a MongoDB URL (Linux)."""
    port = url.partition("://")[2].partition("/")[0].rpartition(":")[2].encode()
    commands = ((file.parent.name, file.read_bytes().split(b"\0")) for file in Path("/proc").glob("[0-9]*/cmdline"))
    return next(int(pid) for pid, command in commands if b"mongod" in command[0] and port in command)


def _read(ops: int, path: str, gateway: int, mongod: int) -> PageReading:
    first = _open(ops, path)
    before = cpu_seconds(gateway), cpu_seconds(mongod)
    times = [_open(ops, path) for _ in range(REPEATS)]
    spent = [1000 * (cpu_seconds(pid) - at) / REPEATS for pid, at in zip((gateway, mongod), before, strict=True)]
    return PageReading(path, first, median(times), *spent)


def _open(ops: int, path: str) -> float:
    started = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{ops}{path}?last=30d") as answer:
        answer.read()
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    number, readings = measure()
    print(f"{number:,} counters of {ROUTES} routes over {DAYS} days")
    for one in readings:
        print(f"{one.path:24} first {one.first:5.0f} ms, then {one.typical:5.0f} ms; CPU", end=" ")
        print(f"{one.gateway:4.0f} ms of the gateway, {one.mongod:4.0f} ms of mongod")
