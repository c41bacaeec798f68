"""The scenario of a bad release, played on the real parts at a faster pace."""

from __future__ import annotations

import asyncio
import io
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from rich.console import Console
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo.bad_release import ROUTE, Ops, Pace, Play, Scenario
from demo.managed_process import ManagedProcessError
from demo.ports import free_port
from demo.stack import Ports, Stack
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT


@pytest.mark.slow  # tests/proxy/rollout has each step
def test_bad_release_is_rolled_back_and_can_be_released_again(mongodb_url: str, tmp_path: Path) -> None:
    pace = Pace(bake_time=1.5, window=6.0, at_cap=0.5, rate=40.0, stages="25%, 100%", shadow="0%")
    scenario = Scenario(tmp_path, pace)
    output = io.StringIO()
    ports = Ports(*(free_port() for _ in range(6)))
    console = Console(file=output, width=200)
    stack = Stack(
        ports, "127.0.0.1", scenario.config, tmp_path, {"MONGODB_URL": mongodb_url, "OPS_TOKEN": "x"}, console
    )
    with ExitStack() as running:
        stack.start(running, scenario.environment)
        play = stack.perform(running, scenario)
        while not play.done.wait(0.1):
            play.check()
    story = output.getvalue()
    at = [
        story.index(line)
        for line in (
            "25% of callers",
            "a bad release is deployed",
            "the guard rolled it back",
            f"/routes/{ROUTE}/live",
            "acknowledges",
        )
    ]
    assert at == sorted(at)
    assert "native fails" in story or "errors" in story
    assert "native answers all callers" in story[at[-1] :]


def ended(play: Play) -> str:
    """Return why a play failed."""
    deadline = time.monotonic() + HANG_TIMEOUT
    with pytest.raises(ManagedProcessError) as fault:
        while time.monotonic() < deadline:
            play.check()
            time.sleep(0.02)
    return str(fault.value)


async def gateway(request: Request) -> JSONResponse:
    """Answer every request of the scenario's callers; as the ops listener, refuse every token."""
    refused = "authorization" in request.headers and request.url.path == "/live.json"
    return JSONResponse({"token": "t"}, 401 if refused else 200)


async def test_ops_listener_that_refuses_ends_the_scenario(tmp_path: Path) -> None:
    app = Starlette(routes=[Route("/{path:path}", gateway, methods=["GET", "POST"])])
    async with serving(app) as port:
        url = f"http://127.0.0.1:{port}"
        play = Play(Scenario(tmp_path), url, Ops(url, "x"), "", Console(file=io.StringIO()))
        play.start()
        try:
            message = await asyncio.to_thread(ended, play)
        finally:
            await asyncio.to_thread(play.stop)
    assert "the scenario failed" in message
    assert "401 Unauthorized" in message


def test_interrupted_scenario_raises_an_error(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path)
    stack = Stack(Ports(*(free_port() for _ in range(6))), "127.0.0.1", scenario.config, tmp_path, {}, Console())
    with ExitStack() as running:
        play = stack.perform(running, scenario)
        assert "the scenario failed" in ended(play)
