"""The time of each WebSocket's close during a drain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from uvicorn.config import Config
from uvicorn.server import ServerState

from proxy.server.settings import uvicorn_settings
from proxy.server.websocket import WebSocketProtocol
from proxy.websocket.link import DRAIN_SPREAD, drain_delay


@given(st.floats(0, 3600), st.floats(0, 1, exclude_max=True))
def test_delay_leaves_time_for_the_closing_handshake(drain_time: float, fraction: float) -> None:
    assert 0 <= drain_delay(drain_time, fraction) <= drain_time * DRAIN_SPREAD


def test_delays_are_spread_evenly() -> None:
    delays = [drain_delay(30, number / 100) for number in range(100)]
    steps = {round(after - before, 6) for before, after in pairwise(delays)}
    assert steps == {0.24}


def test_missing_drain_time_closes_at_once() -> None:
    assert drain_delay(None, 0.9) == 0


class Clock:
    """A loop's timers, with a clock that a test sets."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> SimpleNamespace:
        entry = (delay, callback)
        self.timers.append(entry)
        return SimpleNamespace(cancel=lambda: self.timers.remove(entry))

    def run_until(self, now: float) -> None:
        for entry in [entry for entry in self.timers if entry[0] <= now]:
            self.timers.remove(entry)
            entry[1]()


class Connection:
    """An open WebSocket that only counts its closes."""

    def __init__(self) -> None:
        self.closes = 0

    def go_away(self) -> None:
        self.closes += 1


def test_shutdown_closes_connections_one_after_another() -> None:
    clock = Clock()
    fractions = iter(number / 10 for number in range(10))
    loop = cast("asyncio.AbstractEventLoop", clock)
    settings = uvicorn_settings()
    config = Config("unused:app", timeout_graceful_shutdown=30, log_config=None, **settings)
    connections = [Connection() for _ in range(10)]
    for connection in connections:
        protocol = WebSocketProtocol(config, ServerState(), {}, loop, lambda: next(fractions))
        cast("Any", protocol)._relay = connection
        protocol.shutdown()
        protocol.shutdown()
    closed = []
    for now in range(0, 25, 6):
        clock.run_until(now)
        closed.append(sum(connection.closes for connection in connections))
    assert closed == [1, 3, 6, 8, 10]
