"""The services behind the page, each in its own process: the demo legacy, the gateway, and the services they call."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from pymongo import MongoClient

from demo.ports import free_port
from demo.services import ROOT, DemoLegacy, Gateway, Service, Upstreams, backend_environment
from tests.support.shipped import ROUTING
from tests.support.waiting import HANG_TIMEOUT

DATABASE = "browser_tests"
REPORTS = f"{DATABASE}_reports"
BOTH_SIDES: Mapping[str, object] = {"native": "50%", "shadow": {"share": "100%", "writes": "dry_run"}}
"""Settings with half of the callers on each backend, and each request in the shadow as well."""

_REST: Mapping[str, object] = {"name": "rest", "match": "* /*"}
_COMPARED = re.compile(r'^scribe_proxy_comparisons_total{.*verdict="(\w+)"} (\d+)', re.MULTILINE)


@dataclass(frozen=True)
class BrowserStack:
    """The running services; addresses are URLs."""

    legacy: str
    gateway: str
    ops: str
    routing: Path
    mongodb_url: str

    def reset(self) -> None:
        """Remove all documents, as before every visit; the indexes stay."""
        with MongoClient[dict[str, Any]](self.mongodb_url) as client:
            for name in client[DATABASE].list_collection_names():
                client[DATABASE][name].delete_many({})

    def route(self, settings: Mapping[str, object], *, legacy_down: bool = False) -> None:
        """Write `settings` to every route of the project's file and to a catch-all; return once they are in force.

        With `legacy_down` the file names a port on which nothing listens, and has no catch-all route.
        """
        write_routing(self.routing, settings, legacy_down=legacy_down)
        deadline = time.monotonic() + HANG_TIMEOUT
        while not self._is_routed(str(settings["native"])):
            assert time.monotonic() < deadline, "the change of routing.yaml is not in force"
            time.sleep(0.05)

    def _is_routed(self, share: str) -> bool:
        answer = httpx.get(f"{self.ops}/status.json", trust_env=False, verify=False, timeout=HANG_TIMEOUT).json()
        assert answer["problems"] == []
        return {f"{route['native']:.0f}%" for route in answer["routes"]} == {share}

    def compared(self) -> Counter[str]:
        """Return the number of compared requests, by verdict."""
        metrics = httpx.get(f"{self.ops}/metrics", trust_env=False, verify=False, timeout=HANG_TIMEOUT).text
        counted: Counter[str] = Counter()
        for verdict, count in _COMPARED.findall(metrics):
            counted[verdict] += int(count)
        return counted

    def await_shadow(self) -> None:
        """Wait until requests are compared: the shadow process starts more slowly than the gateway."""
        deadline = time.monotonic() + HANG_TIMEOUT
        while not self.compared()["match"]:
            assert time.monotonic() < deadline, f"nothing is compared: {self.compared()}"
            httpx.get(self.gateway, trust_env=False, verify=False, timeout=HANG_TIMEOUT)
            time.sleep(0.3)


def write_routing(file: Path, settings: Mapping[str, object], *, legacy_down: bool = False) -> None:
    """Write the project's routing file with `settings` on every route and without groups.

    Each route draws its own callers.
    """
    config = yaml.safe_load(ROUTING.read_text())
    del config["defaults"], config["groups"]
    config["routes"] = [_settle(route, settings) for route in (*config["routes"], _REST)]
    if legacy_down:
        config["routes"].pop()
        config["legacy"] = {**config["legacy"], "url": f"http://127.0.0.1:{free_port()}"}
    config["contracts"] = str(ROOT / "contracts")
    config["mongodb"] = {"database": REPORTS}
    config["shadow"] = {**config.get("shadow", {}), "max_cpu_wait": "100%"}  # regardless of other work on the machine
    file.write_text(yaml.safe_dump(config, sort_keys=False))


def _settle(route: Mapping[str, object], settings: Mapping[str, object]) -> dict[str, object]:
    unwanted = {"group", "shadow"} if str(route["match"]).startswith("WS ") else {"group"}  # no WebSocket in the shadow
    return {name: value for name, value in {**route, **settings}.items() if name not in unwanted}


@contextmanager
def running_stack(mongodb_url: str, directory: Path) -> Iterator[BrowserStack]:
    """Start all services at once, with BOTH_SIDES; write their logs and the routing file to `directory`."""
    outside, legacy, gateway, ops = (free_port() for _ in range(4))
    routing = directory / "routing.yaml"
    write_routing(routing, BOTH_SIDES)
    environment = backend_environment(mongodb_url, f"http://127.0.0.1:{outside}", DATABASE)
    knowing_legacy = {**environment, "LEGACY_URL": f"http://127.0.0.1:{legacy}"}
    services: tuple[Service, ...] = (
        Upstreams(directory / "upstreams.log", outside),
        DemoLegacy(environment, directory / "legacy.log", legacy),
        Gateway(routing, knowing_legacy, directory / "gateway.log", host="127.0.0.1", port=gateway, ops_port=ops),
    )
    with ExitStack() as running, ThreadPoolExecutor() as pool:
        running.callback(_drop, mongodb_url)
        for service in services:
            running.callback(service.stop)
        list(pool.map(lambda service: service.start(), services))
        origins = [f"http://127.0.0.1:{port}" for port in (legacy, gateway, ops)]
        yield BrowserStack(origins[0], origins[1], origins[2], routing, mongodb_url)


def _drop(mongodb_url: str) -> None:
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        for name in (DATABASE, REPORTS):
            client.drop_database(name)
