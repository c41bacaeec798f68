"""Measure forwarding: one upstream directly, and through nginx, http-proxy-middleware and the gateway.

Uvicorn with an app that answers the small body itself shows the speed of a Python server without a proxy.
"""

from __future__ import annotations

from functools import partial

from bench.contenders import routing, server_group
from bench.load import Readings, in_turns, load
from bench.report import Comparison

DIRECT, NGINX, MIDDLEWARE, GATEWAY = "directly", "nginx", "http-proxy-middleware", "gateway"
UVICORN = "bare uvicorn"
PATHS = {"2.4 kB": "/small", "1 MiB": "/1mib"}


def forwarding(seconds: float, rounds: int, connections: tuple[int, ...]) -> list[Comparison]:
    """Return a comparison for each body size and number of connections."""
    with server_group() as contenders:
        upstream = contenders.upstream()
        ports = {
            DIRECT: upstream,
            NGINX: contenders.nginx(upstream),
            MIDDLEWARE: contenders.middleware(upstream),
            GATEWAY: contenders.gateway(routing(upstream, routes=30))[0],
        }
        small = {**ports, UVICORN: contenders.uvicorn()}
        return [
            Comparison(
                f"{size}, {count} connections",
                _measure(small if path == "/small" else ports, path, count, seconds, rounds),
                MIDDLEWARE,
                (UVICORN, NGINX) if path == "/small" else (NGINX,),
            )
            for size, path in PATHS.items()
            for count in connections
        ]


def routes(seconds: float, rounds: int) -> list[Comparison]:
    """Measure the cost of a long file: 500 routes against 20, at 16 connections."""
    with server_group() as contenders:
        upstream = contenders.upstream()
        ports = {
            f"{count} routes": contenders.gateway(routing(upstream, routes=count), name=f"gateway{count}")[0]
            for count in (20, 500)
        }
        readings = _measure(ports, "/small", 16, seconds, rounds)
    return [Comparison("routes in the file", readings, "20 routes")]


def _measure(ports: dict[str, int], path: str, connections: int, seconds: float, rounds: int) -> Readings:
    contenders = {
        name: partial(load, f"http://127.0.0.1:{port}{path}", connections, seconds) for name, port in ports.items()
    }
    return in_turns(contenders, rounds)
