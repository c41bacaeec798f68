"""Measure the ops pages of a gateway with 500 routes: time and processor time of each page's GET."""

from __future__ import annotations

import http.client
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.contenders import server_group
from bench.processes import cpu_seconds
from demo.mongod import mongodb
from demo.ports import free_port

ROUTES = 500
MEMBERS = 4
"""Routes of a group."""
CALLERS = 5
"""Requests of each route before the pages are read."""
PAGES = (
    *("/", "/live", "/comparisons", "/divergences", "/drift", "/history", "/config"),
    *(f"/routes/resource7.part3{tab}" for tab in ("", "/live", "/actions", "/history", "/releases")),
    *("/index.json", "/live.json", "/comparisons.json", "/status.json"),
)


@dataclass(frozen=True, slots=True)
class PageTime:
    """Median and slowest time of a page's GET and the gateway's processor time for one, in seconds; size in bytes."""

    page: str
    seconds: float
    slowest: float
    cpu: float
    size: int


def pages(rounds: int = 15, routes: int = ROUTES) -> list[PageTime]:
    """Measure all pages of one gateway process with MongoDB, after requests to every route."""
    with mongodb() as url, server_group() as contenders:
        file = contenders.directory / "routing.yaml"
        file.write_text(_file(contenders.upstream(), url, routes))
        port, ops = free_port(), free_port()
        child = contenders.serve(file, port, ops)
        assert child.pid is not None
        _send(port, routes)
        time.sleep(6)  # reports and the process's numbers are stored every few seconds
        return [_page(ops, child.pid, page, rounds) for page in PAGES]


def _page(port: int, pid: int, page: str, rounds: int) -> PageTime:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    _get(connection, page)  # templates are compiled
    before, times, size = cpu_seconds(pid), [], 0
    for _ in range(rounds):
        began = time.perf_counter()
        size = _get(connection, page)
        times.append(time.perf_counter() - began)
    cpu = (cpu_seconds(pid) - before) / rounds
    connection.close()
    return PageTime(page, statistics.median(times), max(times), cpu, size)


def _get(connection: http.client.HTTPConnection, path: str) -> int:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{path} was answered with {answer.status}")
    return len(body)


def _send(port: int, routes: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for caller in range(CALLERS):
        for number in range(routes):
            path = f"/api/resource{number // MEMBERS}/part{number % MEMBERS}/7"
            connection.request("GET", path, headers={"x-caller": f"{caller}"})
            connection.getresponse().read()
    connection.close()


def _file(legacy: int, mongodb_url: str, routes: int) -> str:
    return "\n".join(_lines(legacy, mongodb_url, routes)) + "\n"


def _lines(legacy: int, mongodb_url: str, routes: int) -> Iterator[str]:
    yield f"legacy: {{url: http://127.0.0.1:{legacy}}}"
    yield "native: bench.bare:app"
    yield f"mongodb: {{url: '{mongodb_url}', database: bench}}"
    yield "bucketing: {key: header:x-caller}"
    yield "limits: {per_client: 10000}"
    yield "groups:"
    for group in range(routes // MEMBERS):
        rollout = ", rollout: {stages: [1%, 50%, 100%], start_at: 50%}" if group % 2 else ""
        yield f"  resource{group}: {{native: {'100%' if group % 2 else '50%'}, guard: {{}}{rollout}}}"
    yield "routes:"
    for number in range(routes):
        group, part = divmod(number, MEMBERS)
        match = f"GET /api/resource{group}/part{part}/{{id}}"
        yield f"  - {{name: resource{group}.part{part}, match: '{match}', group: resource{group}}}"
