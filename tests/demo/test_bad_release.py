"""The scenario of a bad release, played on the real thing at a pace for tests."""

from __future__ import annotations

import io
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from rich.console import Console

from demo.bad_release import Pace, Scenario
from demo.child import ChildError
from demo.ports import free_port
from demo.stack import Ports, Stack


@pytest.mark.timeout(120)
def test_a_bad_release_is_taken_back_by_itself_and_goes_out_again(mongodb_url: str, tmp_path: Path) -> None:
    scenario = Scenario(tmp_path, Pace(hold=1.5, window=6.0, rate=80.0, stages="25%, 100%"))
    told = io.StringIO()
    ports = Ports(*(free_port() for _ in range(6)))
    console = Console(file=told, width=200)
    stack = Stack(ports, "127.0.0.1", scenario.config, tmp_path, {"MONGODB_URL": mongodb_url}, console)
    with ExitStack() as running:
        stack.start(running, scenario.environment)
        play = stack.perform(running, scenario)
        while not play.done.wait(0.1):
            play.check()
    story = told.getvalue()
    at = [
        story.index(line)
        for line in ("25% of callers", "a bad release is out", "the guard took it back", "acknowledges")
    ]
    assert at == sorted(at)
    assert "native fails" in story or "errors" in story
    assert "all callers are native" in story[at[-1] :]


def test_a_scenario_that_cannot_go_on_says_so(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path)
    stack = Stack(Ports(*(free_port() for _ in range(6))), "127.0.0.1", scenario.config, tmp_path, {}, Console())
    with ExitStack() as running:
        play = stack.perform(running, scenario)
        deadline = time.monotonic() + 10
        with pytest.raises(ChildError, match="the scenario broke down"):
            while time.monotonic() < deadline:
                play.check()
                time.sleep(0.02)
