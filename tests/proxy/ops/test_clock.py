"""Times on the ops pages of a gateway whose clock is not the one that replicas share."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from demo.ports import free_port
from proxy.ops.app import create_ops
from proxy.rollout.store import MemoryStore
from tests.support.ops_server import roll_out, stage

TOKEN = "s3cret-token"
PATH = "/routes/consultations.list"
COOLDOWN = 600


def named(lines: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(line for line in lines if line["name"] == name)


@pytest.mark.parametrize("deviation", [-7200.0, 7200.0])
def test_cooldown_is_timed_by_the_clock_of_the_store(tmp_path: Path, deviation: float) -> None:
    staged = stage(tmp_path, free_port(), store=MemoryStore(lambda: time.time() + deviation))
    with TestClient(create_ops(staged, TOKEN), headers={"authorization": f"Bearer {TOKEN}"}) as client:
        assert client.portal is not None
        client.portal.call(roll_out, staged)
        client.post(f"{PATH}/ack", data={"actor": "Ada", "reason": "fixed"})
        step = named(client.get("/index.json").json()["groups"], "consultations.list")["step"]
        cap = named(client.get("/live.json").json()["routes"], "consultations.list")["cap"]
        live, board = client.get(f"{PATH}/live").text, client.get("/").text
        client.portal.call(staged.controller.stop)
    assert 0 < step["left"] <= COOLDOWN
    assert 0 < cap["left"] <= COOLDOWN
    assert re.search(r"removed after the cooldown, in \d min", live)
    assert re.search(r"by the guard, (just now|\d+ s ago|1 min ago)", board)
