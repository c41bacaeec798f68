"""Measure the native app beside the demo's legacy: one mongod, the same users, the same requests."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from bench.clinic import furnish
from bench.contenders import ServerGroup, routing, server_group
from bench.load import in_turns, load
from bench.report import Comparison
from demo.mongod import mongodb
from demo.ports import free_port

LEGACY, NATIVE, GATEWAY = "demo legacy", "native alone", "native through the gateway"
PYMONGO = "native alone on pymongo"
SERVER = Path(__file__).parent.parent / "demo" / "legacy" / "server.js"


def native(seconds: float, rounds: int) -> list[Comparison]:
    """Return a comparison for each kind of request, at 16 connections."""
    with mongodb() as url, server_group() as contenders:
        ports = contend(contenders, url)
        clinic = furnish(f"http://127.0.0.1:{ports[LEGACY]}")
        comparisons = []
        for question in clinic.targets:
            script = clinic.script(question, contenders.directory)
            measures = {
                name: partial(load, f"http://127.0.0.1:{port}/", 16, seconds, script) for name, port in ports.items()
            }
            comparisons.append(Comparison(question, in_turns(measures, rounds), LEGACY))
        return comparisons


def contend(contenders: ServerGroup, mongodb_url: str, *, alone: bool = True) -> dict[str, int]:
    """Start the legacy and the gateway on one database; with `alone`, also the native app with each driver.

    Return the ports by name.
    """
    env = {
        "MONGODB_URL": mongodb_url,
        "DATABASE_NAME": "bench",
        "JWT_SECRET_KEY": "bench-secret",
        "OPENAI_API_KEY": "sk-bench",
        "NODE_ENV": "production",
    }
    legacy = free_port()
    contenders.start("legacy", ["node", SERVER], legacy, {**env, "PORT": str(legacy)})
    config = routing(legacy, routes=30, native="handlers.app:app", share="100%")
    ports = {LEGACY: legacy, GATEWAY: contenders.gateway(config, env)[0]}
    for name, driver in ((NATIVE, "motor"), (PYMONGO, "pymongo")) if alone else ():
        ports[name] = free_port()
        command: list[str | Path] = [sys.executable, "-m", "uvicorn", "handlers.app:app", "--port", str(ports[name])]
        contenders.start(driver, [*command, "--no-access-log"], ports[name], {**env, "MONGODB_DRIVER": driver})
    return ports
