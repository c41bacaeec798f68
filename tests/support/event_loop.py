"""The event loops of tests: their clock can be moved forward, and they finish closing transports before they close."""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any, Final, TypeVarTuple

import pytest
from pymongo.network_layer import PyMongoProtocol

Arguments = TypeVarTuple("Arguments")
LoopFactory = Callable[[], asyncio.AbstractEventLoop]

PASSES: Final = 20
"""Passes of a loop in which bytes or a close travel from a client through the gateway to a legacy."""


class AdvancedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock can be moved forward, and that runs the callbacks of closed transports when it is closed.

    Without the latter, a later test reports an unclosed transport. A transport that nobody closes is reported all the
    same, except PyMongo's: its client for asyncio abandons a connection whose opening is cancelled.
    """

    ahead = 0.0
    """Seconds by which `advance` has moved the clock forward."""

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        super().__init__(selector)
        self._pymongo: list[asyncio.Transport] = []

    async def create_connection(self, *args: Any, **options: Any) -> tuple[Any, Any]:
        transport, protocol = await super().create_connection(*args, **options)
        if isinstance(protocol, PyMongoProtocol):
            self._pymongo = [each for each in self._pymongo if not each.is_closing()] + [transport]
        return transport, protocol

    def time(self) -> float:
        return super().time() + self.ahead

    def _make_socket_transport(self, sock: socket.socket, *args: Any, **options: Any) -> Any:
        """Close a connection if its server was closed since it was accepted: asyncio would leave it open."""
        server = options.get("server")
        if server is not None and not server.is_serving():
            sock.close()
            raise ConnectionAbortedError
        return super()._make_socket_transport(sock, *args, **options)  # type: ignore[misc]

    def close(self) -> None:
        if not self.is_closed() and not self.is_running():
            for transport in self._pymongo:
                transport.abort()
            self.run_until_complete(_pass())
        super().close()


class DelayLoop(AdvancedLoop):
    """A loop that records the delays of its timers, in seconds, in the order of their start."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []

    def call_later(
        self, delay: float, callback: Callable[[*Arguments], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self.delays.append(delay)
        return super().call_later(delay, callback, *args, context=context)


class AdvancedLoopPolicy(asyncio.DefaultEventLoopPolicy):
    """The policy of the tests' own loops."""

    def new_event_loop(self) -> AdvancedLoop:
        return AdvancedLoop()


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Return the module's own `LOOPS`, if it names some: uvloop is what the gateway runs on."""
    loops: Mapping[str, LoopFactory] = getattr(item.getparent(pytest.Module).obj, "LOOPS", {})  # type: ignore[union-attr]
    return loops or {"asyncio": asyncio.new_event_loop}


async def advance(seconds: float) -> None:
    """Move the running loop's clock forward and run the timers due by then, so that no test waits for a limit.

    Limits of the test itself, as `HANG_TIMEOUT`, pass as well.
    """
    loop = asyncio.get_running_loop()
    assert isinstance(loop, AdvancedLoop)
    loop.ahead += seconds
    await _pass()


async def _pass() -> None:
    for _ in range(PASSES):
        await asyncio.sleep(0)
